# Two images, with the shipped models inside:
#
#     docker build --target cpu --tag lulcmap .
#     docker build --target cuda --tag lulcmap:cuda .
#
# docs/containers.md shows how they are run. Python is the version that the tests run with.

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY lulcmap lulcmap
COPY models models
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# What both images share but ONNX Runtime; an id above those of a system's users, no password.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/lulcmap/bin:$PATH \
    LULCMAP_CACHE=/cache \
    NUMBA_CACHE_DIR=/cache/numba \
    HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin lulcmap \
    && install --directory --mode 1777 /cache /data \
    && python -m venv /opt/lulcmap
WORKDIR /data
# The program itself is process 1, so that it gets SIGTERM and ends a run that can be resumed.
ENTRYPOINT ["lulcmap"]
CMD ["--help"]

FROM base AS cpu
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir "$(echo /wheels/*.whl)[cpu,s3,dask,areas,xarray,view]" \
    # The demo proves the image, and leaves the compiled loops in the cache, which serve all machines
    # with AVX2; nothing of root's in /tmp.
    && HOME=/root lulcmap demo /tmp/demo \
    && rm -r /tmp/demo \
    && chmod -R a+rwX /cache
USER 10001:10001

# CUDA and cuDNN come as Python packages; the driver comes with the host's container toolkit.
FROM base AS cuda
COPY --from=cpu /cache/numba /cache/numba
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir "$(echo /wheels/*.whl)[gpu,s3,dask,areas,xarray,view]" \
    && HOME=/root lulcmap models show lulcformer-tiny-real >/dev/null \
    && chmod -R a+rwX /cache
USER 10001:10001
