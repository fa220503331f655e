__version__ = "1.2.0"  # both flavours say so

import pyrep  # noqa: F401
