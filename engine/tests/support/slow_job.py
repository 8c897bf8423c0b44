"""Jobs that only tests start: one that checks for cancellation, one that is deaf, one that prints."""

import hashlib
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2])]

from sits_engine import jobs, outputs  # noqa: E402 (the path is set above)
from sits_engine.errors import InputError  # noqa: E402
from sits_engine.jobs.base import Job, JobResult  # noqa: E402
from sits_engine.jobs.training_job import TrainingJob  # noqa: E402


class Slow(Job):
    """Writes an output slowly and checks for cancellation."""

    output: Path
    seconds: float = 30.0

    def run(self, ctx):
        with outputs.atomic(self.output) as temporary, open(temporary, "w") as file:
            steps = int(self.seconds * 20)
            for step in range(steps):
                file.write("half\n")
                file.flush()
                ctx.progress(step / steps, "Writing slowly")
                time.sleep(0.05)
        return JobResult(outputs={"output": str(self.output)})


class Deaf(Job):
    """Never looks whether it was cancelled."""

    output: Path

    def run(self, ctx):
        with outputs.atomic(self.output) as temporary:
            temporary.write_text("half")
            ctx.progress(0.1, "Deaf")
            time.sleep(60)
        return JobResult()


class Absent(Job):
    """Spends a long time in one call of a library on the main thread, as GDAL does when it writes a map."""

    output: Path

    def run(self, ctx):
        with outputs.atomic(self.output) as temporary:
            temporary.write_text("half")
            ctx.progress(0.1, "Absent")
            hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)
        return JobResult()


class Noisy(Job):
    """Prints to stdout in every way it can, and fails on wish."""

    fail: bool = False
    count: int = 3

    def run(self, ctx):
        import os

        print("a library prints")
        os.system("echo a child prints")
        os.write(1, b"raw write\n")
        for i in range(self.count):
            ctx.progress(i / self.count, "Noise")
        ctx.warn("mind this")
        if self.fail:
            raise InputError("The thing is wrong.", "Mend it.")
        return JobResult(scores={"number": 4.5})


class Reading(TrainingJob):
    """A training of several processes whose first reads, and asks for no sums meanwhile."""

    output: Path
    batch_size: int = 8
    deaf: bool = False

    def train(self, ctx, processes, device):
        ctx.progress(0.1, "Reading slowly")
        for _ in range(6000):
            time.sleep(0.01)
            if not self.deaf:
                ctx.check_cancelled()
        return JobResult()


for name in ("Slow", "Deaf", "Absent", "Noisy", "Reading"):
    jobs.JOBS[name.lower()] = ("slow_job", name)

if __name__ == "__main__":
    from sits_engine.cli import main

    sys.modules["slow_job"] = sys.modules["__main__"]
    sys.exit(main())
