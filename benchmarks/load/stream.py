"""`python -m load.stream ORDER`: keep one gRPC stream open, and print as JSON what came back by it.

The order is JSON: host and via as of `clients`, seconds to ask by it, perhaps model and headers. `OPEN` is written when
the first answer has come.
Not for: load; that is `python -m load`.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc.aio as triton

OPEN = Path("/tmp/stream-is-open")
PAUSE_SECONDS = 0.1

Json = dict[str, Any]


async def stream(order: Json) -> Json:
    """Carry out an order.

    Args:
        order: see the module.

    Returns:
        How often each version answered by `versions`; the seconds from the first answer to the last one by `seconds`;
        in words the first error that came by the stream, and what ended the stream, by `error` and `end`, "" for none.
    """
    client = triton.InferenceServerClient(
        order["via"], channel_args=[("grpc.default_authority", order["host"]), ("grpc.use_local_subchannel_pool", 1)]
    )
    tensor = triton.InferInput("X", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[1]], dtype=np.float32))
    until = time.monotonic() + order["seconds"]

    async def requests() -> AsyncIterator[Json]:
        while time.monotonic() < until:
            yield {"model_name": order.get("model", "adder"), "inputs": [tensor]}
            await asyncio.sleep(PAUSE_SECONDS)

    versions: Counter[str] = Counter()
    begun = last = 0.0
    said = end = ""
    try:
        async for result, error in client.stream_infer(requests(), headers=order.get("headers")):
            if error:
                said = said or str(error)
                continue
            last = time.monotonic()
            if not begun:
                begun = last
                await asyncio.to_thread(OPEN.touch)
            versions[result.get_response().model_version] += 1
    except grpc.aio.AioRpcError as error:  # of a stream tritonclient gives it as it is
        end = f"{error.code().name}: {error.details()}"
    finally:
        await client.close()
    return {"versions": versions, "seconds": last - begun, "error": said, "end": end}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(stream(json.loads(sys.argv[1])))))
