"""What is known of a log does not depend on how much of it is merged, by whom, or when."""

from __future__ import annotations

import tablelog as tl
from tablelog.format.actions import AddFile, SetProperty, removal
from tablelog.log.state import TableHistory
from tablelog.ops.planned import Planned
from tablelog.store.memory import MemoryStore
from tablelog.store.prefixed import PrefixedStore
from tablelog.table import Table
