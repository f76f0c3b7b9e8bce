"""Runs inside the cluster: calls a service over HTTP and gRPC and prints what came back, as JSON.

The order is the first argument, as JSON: host, model, version, value, and count (requests per protocol).
"""

import json
import sys
import urllib.error
import urllib.request

import numpy as np
import tritonclient.grpc as grpcclient


def over_http(order, value):
    """Infer once by the HTTP protocol, on a connection of its own."""
    path = f"/v2/models/{order.get('model', 'adder')}/infer"
    body = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [value]}]}
    request = urllib.request.Request(f"http://{order['host']}:8000{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["outputs"][0]["data"][0]


def over_grpc(order, value):
    """Infer once by the gRPC protocol, on a channel of its own."""
    tensor = grpcclient.InferInput("X", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[value]], dtype=np.float32))
    with grpcclient.InferenceServerClient(f"{order['host']}:8001") as client:
        found = client.infer(order.get("model", "adder"), [tensor], client_timeout=10)
        return float(found.as_numpy("Y")[0][0])


def main():
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    answers = {"http": [], "grpc": [], "failures": []}
    for number in range(order.get("count", 1)):
        for protocol, call in (("http", over_http), ("grpc", over_grpc)):
            try:
                answers[protocol].append(call(order, order.get("value", number)))
            except (OSError, urllib.error.URLError, grpcclient.InferenceServerException) as error:
                answers["failures"].append(f"{protocol}: {error}")
    print(json.dumps(answers))


main()
