"""robolearn trains a generative policy from demonstrations and knows when to trust it.

Importing the package is cheap: submodules (and with them torch) are imported on first use.
"""

__version__ = "0.1.0"
