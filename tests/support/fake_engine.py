"""An engine that misbehaves on order: speaks the protocol of `sits_engine/protocol.py`.

The job's field `behave` says how, or the JSON in the variable FAKE_ENGINE where the job's fields can't be
chosen (real algorithms). Run like the real one: `python -s -u -X utf8 fake_engine.py serve-job`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time


def send(kind, **fields):
    sys.stdout.write(json.dumps({"type": kind, **fields}) + "\n")
    sys.stdout.flush()


def work(seconds, behave):
    """Progress for a while."""
    steps = max(1, int(seconds / 0.05))
    for step in range(steps):
        send("progress", percent=100 * step / steps, phase=f"Phase {1 + 2 * step // steps}", seconds_left=90)
        time.sleep(0.05)


def watch(behave):
    """Obey `cancel` and the end of stdin, as the real engine does."""
    for line in sys.stdin:
        if json.loads(line).get("type") == "cancel" and behave != "ignore":
            send("error", code="CANCELLED", message="Cancelled by the user.", advice="")
            os._exit(130)
    if behave != "ignore":
        os._exit(1)


def status(behave):
    """Scores of the job that proves that an engine works."""
    return {
        "engine": "fake",
        "python": "3.11.2",
        "packages": {"torch": "missing" if behave == "incomplete" else "2.13.0", "numpy": "2.4"},
        "devices": [{"device": "cpu", "name": "Some CPU", "threads": 2, "memory_gib": 8.0}],
        "compiler_failures": {"Zig 0.17.1": "AccessDenied"} if behave == "uncompiled" else {},
        "compiler": "" if behave == "uncompiled" else "Zig 0.17.1",
        "logs": "/where/logs/really/go",
        "auto": "CPU (Some CPU, 2 threads)",
    }


def promised(params, output):
    """Outputs of the result; a liar promises a file that it did not write."""
    if params.get("behave") == "liar":
        return {"output_folder": output + ".not-there", "output": output}
    return {"output": output} if output else {}


def main():
    orders = json.loads(os.environ.get("FAKE_ENGINE", "{}"))
    if orders.get("behave") == "mute":
        time.sleep(60)
    if orders.get("behave") == "stillborn":
        print("ImportError: No module named torch", file=sys.stderr)
        return 1
    protocol = 99 if orders.get("behave") == "foreign" else 1
    send("hello", protocol=protocol, engine="fake", python="3.11", pid=os.getpid(), log="/logs/fake.log")
    request = json.loads(sys.stdin.readline())
    params = {**request.get("params", {}), **orders}
    behave = params.get("behave", "well")
    if "pids" in params:
        pids = [os.getpid()]
        if behave == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            # A worker of the engine: the whole group has to go.
            pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
        with open(params["pids"], "w", encoding="utf-8") as file:
            json.dump(pids, file)
    threading.Thread(target=watch, args=(behave,), daemon=True).start()
    output = params.get("output", "")
    if "output_folder" in params:
        os.makedirs(params["output_folder"], exist_ok=True)
        output = os.path.join(params["output_folder"], "output.txt")
    if behave in ("hang", "ignore"):
        if output:
            folder, name = os.path.split(output)
            open(os.path.join(folder, f".{name}.partial-{os.getpid()}.tif"), "w").close()
        work(30, behave)
    if behave == "error":
        send("error", code="INPUT_INVALID", message="The file is no raster.", advice="Choose another.")
        return 1
    if behave == "defect":
        send("error", code="INTERNAL", message="Unexpected error.", advice="Send the log.", log="/logs/a.log")
        return 1
    if behave == "crash":
        print("terminate called", file=sys.stderr, flush=True)
        os.kill(os.getpid(), getattr(signal, params.get("signal", "SIGSEGV")))
    if behave == "silent":
        return 0
    if behave == "garbage":
        sys.stdout.buffer.write(
            b'\xff\xfe\x00 binary\nnot json\n[1, 2]\n{"type": 5}\n{broken\n' + b"x" * 100000 + b"\n"
        )
        send("progress", percent="many", phase=3, seconds_left="soon")
        send("metric", name="f1", value=None)
        send("novelty", anything=1)
    if behave == "badresult":
        send("result", outputs="nothing", scores=[])
        return 0
    if behave == "flood":
        for number in range(params.get("lines", 30000)):
            send("log", level="info", text=f"line {number}")
            print("noise", file=sys.stderr)
    work(params.get("seconds", 0.2), behave)
    print("a library prints", file=sys.stderr, flush=True)
    send("log", level="warning", text="Something to know.")
    if output and behave != "liar":
        with open(output, "w", encoding="utf-8") as file:
            file.write(json.dumps({"params": params, "env": dict(os.environ), "argv": sys.argv}))
    for name in ("report", "table"):
        if params.get(name) and behave != "liar":
            with open(params[name], "w", encoding="utf-8") as file:
                file.write(json.dumps({"params": params}))
    scores = {"accuracy": 0.5, "note": "good", "pixels": 7, **params.get("scores", {})}
    send(
        "result",
        outputs=promised(params, output),
        scores=status(behave) if request["job"] == "status" else scores,
        warnings=["Something to know."],
    )
    if behave == "late":
        os._exit(3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
