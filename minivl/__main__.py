"""`python -m minivl ...` is `minivl ...`; also for `accelerate launch -m minivl ...`."""

import sys

from minivl.cli import main

sys.exit(main())
