"""Crystal structure search by active learning with SchNetPack networks."""

__version__ = "0.1.0"
