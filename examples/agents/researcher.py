"""An agent that works through a list of documents and loses nothing when it is stopped.

On SIGTERM it finishes the document at hand, writes a checkpoint and exits with 0.
"""

import json
import os
import signal
import tempfile
import time
from pathlib import Path

DOCUMENTS = [f"paper-{number:03}.pdf" for number in range(1, 501)]
CHECKPOINT = Path(os.environ.get("CHECKPOINT") or Path(tempfile.gettempdir(), "checkpoint.json"))
SECONDS_A_DOCUMENT = 0.4
SECONDS_TO_WRAP_UP = 1.6

stop_asked = False


def on_sigterm(_number: int, _frame: object) -> None:
    global stop_asked
    stop_asked = True


def main() -> None:
    signal.signal(signal.SIGTERM, on_sigterm)
    read: list[str] = []
    for document in DOCUMENTS:
        time.sleep(SECONDS_A_DOCUMENT)
        read.append(document)
        print(f"read {document} ({len(read)} of {len(DOCUMENTS)})", flush=True)
        if stop_asked:
            break
    if stop_asked:
        print("asked to stop: writing what is known so far", flush=True)
        time.sleep(SECONDS_TO_WRAP_UP)
    CHECKPOINT.write_text(json.dumps({"read": read}), encoding="utf-8")
    print(f"checkpoint written after {len(read)} documents", flush=True)


main()
