"""Crystal structure search that needs a hundredth of the DFT."""

__version__ = "0.1.0"
