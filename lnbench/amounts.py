"""The kinds of number that records hold, with the bounds past which one is damage or an attack and no measurement."""

from typing import Annotated

from pydantic import Field

MOST_ELEMENTS = 2**40
"""More elements than any device holds (1 TiB in the smallest dtype and up)."""

SHORTEST_S = 1e-15
"""With LONGEST_S it keeps every ratio of two times, and so every exponential of a log ratio, far inside a float."""

NO_TIME_S = 1e-12
"""Stands in place of a time that a clock could not see, so that it has a logarithm; all journals hold it so."""

LEAST_SEEN_S = 1e-11
"""Samples from this on are times: clocks step by nanoseconds, and no call of anything is shorter."""

LONGEST_S = 1e9
"""Thirty years."""

MOST_LOG_RATIO = 60.0
"""No two times between SHORTEST_S and LONGEST_S lie further apart (log 1e24 is 55.3)."""

MOST = 2**31 - 1
"""More than anything that is counted one by one."""

MOST_FAULTS = 1e18
"""Page faults per call."""

Count = Annotated[int, Field(ge=0, le=MOST)]
"""How many there are, or which one: processes, rounds, cases, calls. Sums of a million of them still fit 64 bits."""

MOST_SIZE = 2**31

Size = Annotated[int, Field(ge=1, le=MOST_SIZE)]
"""One size of a shape, as suites bound it."""

Bytes = Annotated[int, Field(ge=0, le=2**62)]
"""Bytes that exist; tables hold them in 64 bits."""

ByteDifference = Annotated[int, Field(ge=-(2**62), le=2**62)]
"""Bytes more or less than expected."""

Integer = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""Any whole number that a suite can hold."""

Finite = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
"""A reading of some instrument; sums and means of such readings stay finite."""

Seconds = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]
"""A duration; 0 where a clock's correction took all of it."""

Hertz = Annotated[float, Field(ge=1, le=1e15, allow_inf_nan=False)]
"""The rate of a clock."""

Time = Annotated[float, Field(ge=SHORTEST_S, le=LONGEST_S, allow_inf_nan=False)]
"""A duration of which the logarithm is taken."""

LogRatio = Annotated[float, Field(ge=-MOST_LOG_RATIO, le=MOST_LOG_RATIO, allow_inf_nan=False)]
"""The logarithm of one time over another."""

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""A part of a whole: a margin, a precision."""
