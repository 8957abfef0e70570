# Three images from one file:
#   docker build -t latentserve .                                     the service on CPUs (default)
#   docker build -t latentserve:service-gpu --target service-gpu .    the service on an NVIDIA GPU
#   docker build -t latentserve:training    --target training .       training recipes
# Each holds one virtual environment, made from a hashed lock file in a stage of its own, so that
# neither pip nor its cache nor setuptools is in what runs.

ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS base
ENV ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/latentserve/bin:$PATH \
    PYTHONUNBUFFERED=1

FROM base AS environment
WORKDIR /build
# The base image's pip installs into an environment that has none.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1 \
    PIP_PYTHON=/opt/latentserve/bin/python \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/latentserve

FROM environment AS service-environment
COPY requirements/service.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -qq --require-hashes --only-binary :all: -r requirements/service.txt
COPY pyproject.toml LICENSE ./
COPY service service
# Training is not in this image, so its command is not either.
RUN pip install -qq --no-cache-dir --no-deps --no-build-isolation --no-index . \
    && pip uninstall --quiet --yes setuptools \
    && rm /opt/latentserve/bin/latentserve-train \
    && find /opt/latentserve -type d -name tests -prune -exec rm -r {} +

FROM environment AS gpu-environment
COPY requirements/gpu.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -qq --require-hashes --only-binary :all: -r requirements/gpu.txt
COPY pyproject.toml LICENSE ./
COPY service service
RUN pip install -qq --no-cache-dir --no-deps --no-build-isolation --no-index . \
    && pip uninstall --quiet --yes setuptools \
    && rm /opt/latentserve/bin/latentserve-train \
    && find /opt/latentserve -type d -name tests -prune -exec rm -r {} +

FROM environment AS training-environment
COPY requirements/train.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -qq --require-hashes --only-binary :all: -r requirements/train.txt
COPY pyproject.toml LICENSE ./
COPY service service
COPY training training
RUN pip install -qq --no-cache-dir --no-deps --no-build-isolation --no-index .

# What both services have in common, whatever runs their graphs.
FROM base AS service-base
# All addresses, of whichever families the container has.
ENV LATENTSERVE_HOST=* \
    LATENTSERVE_MODELS_DIR=/models
# Nothing is installed into what runs.
RUN pip uninstall --quiet --yes --root-user-action=ignore pip && mkdir /models
# Nothing is in it: a relative path that a file names leads nowhere.
WORKDIR /var/empty
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import http.client, os; port = os.environ.get('LATENTSERVE_PORT', '').strip(); connection = http.client.HTTPConnection('localhost', int(port) if port.isdigit() else 8000, timeout=4); connection.request('GET', '/readyz'); raise SystemExit(connection.getresponse().status != 200)"]
ENTRYPOINT ["latentserve"]
CMD ["serve"]

FROM service-base AS service-gpu
ENV LATENTSERVE_PROVIDERS=cuda \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
COPY --from=gpu-environment /opt/latentserve /opt/latentserve
RUN python -c "import service.__main__, service.offline, service.processes.server"
USER 10001:10001

FROM base AS training
# Whoever runs it owns what it writes, so every uid finds a place for caches.
ENV HOME=/tmp \
    LATENTSERVE_MODELS_DIR=/models \
    MPLBACKEND=agg \
    TF_CPP_MIN_LOG_LEVEL=2 \
    XDG_CACHE_HOME=/cache
RUN mkdir --mode=1777 /cache /models
# As Ctrl-C does: the run keeps its checkpoint and continues when it is started again.
STOPSIGNAL SIGINT
COPY --from=training-environment /opt/latentserve /opt/latentserve
USER 10001:10001
ENTRYPOINT ["latentserve-train"]
CMD ["--help"]

# The last stage is what a plain `docker build .` makes.
FROM service-base AS service
COPY --from=service-environment /opt/latentserve /opt/latentserve
# The base image comes without bytecode of the standard library, and nothing can be written when
# this runs: importing once here writes it for the modules that the service uses.
RUN python -c "import service.__main__, service.offline, service.processes.server"
USER 10001:10001
