# The operator's image, which is also that of the init container (python -m triton_operator.models.prepare).
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements-build.lock requirements.lock ./
# pip.conf and a CA bundle may be given as secrets, for machines behind a mirror or proxy.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/ca.crt \
    python3 -m venv /build/venv \
    && /build/venv/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && python3 -m venv --without-pip /opt/triton-operator \
    && /build/venv/bin/pip --python /opt/triton-operator install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/venv/bin/python -m hatchling build -t wheel \
    && /build/venv/bin/pip --python /opt/triton-operator install --no-cache-dir --no-deps --no-index dist/*.whl

FROM ${BASE}
COPY --from=build /opt/triton-operator /opt/triton-operator
ENV PATH=/opt/triton-operator/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/opt/triton-operator/bin/triton-operator"]
