"""Crystal structure search by active learning with SchNetPack networks."""

__version__ = "0.2.0.dev0"
