"""Two idle workers, of which one is killed while Python ends: python tests/faults/closing.py NUMBER."""

import os
import signal
import sys
import threading
import time

from joblib.externals.loky import process_executor

from stages.engine.mapping import map_units


def main(number: int) -> None:
    """Have work done; then kill a worker as soon as loky's thread, which manages them, begins to end."""
    assert sorted(map_units(abs, range(-8, 0), 2)) == list(range(1, 9))
    manager = next(t for t in threading.enumerate() if isinstance(t, process_executor._ExecutorManagerThread))
    begin_to_end = manager.flag_executor_shutting_down

    def kill_and_end() -> None:
        time.sleep(0.2)  # both wait for work by now: one for the queue, the other for the queue's lock
        os.kill(list(manager.processes)[number], signal.SIGKILL)
        print("killed", flush=True)
        begin_to_end()

    manager.flag_executor_shutting_down = kill_and_end


if __name__ == "__main__":
    main(int(sys.argv[1]))
