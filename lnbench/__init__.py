"""What a normalization layer costs: verified, paired measurements of LayerNorm and its neighbours."""

from lnbench.errors import Unsupported
from lnbench.implementations.contract import implementation

__all__ = ["Unsupported", "__version__", "implementation"]
__version__ = "0.1.0"
