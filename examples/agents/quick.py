"""An agent that has little to do and ends by itself."""

import time

print("summarising one page", flush=True)
time.sleep(1)
print("done: the page says that agents should be easy to stop", flush=True)
