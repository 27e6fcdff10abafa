"""The command line by ``python -m bayesglmm``, where the command itself is not on the path."""

import sys

from .cli import main

sys.exit(main())
