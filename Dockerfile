# The operator's image. docs/releasing.md says what is in it and why, and how a release pins the two images below by digest.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
ARG BASE_IMAGE=gcr.io/distroless/python3-debian13:nonroot

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
# A virtual environment remembers where its Python is: /usr/bin/python3 in the image that it goes to.
RUN ln -s /usr/local/bin/python3 /usr/bin/python3 && /usr/bin/python3 -m venv --without-pip /opt/agentstop
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --quiet --require-hashes --only-binary :all: -r requirements-build.txt && \
    python3 -m pip --python /opt/agentstop install --quiet --require-hashes --only-binary :all: --no-compile -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN python3 -m pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /wheels . && \
    python3 -m pip --python /opt/agentstop install --quiet --no-deps --no-index --no-compile --find-links /wheels agentstop
# The Kubernetes client has one class for every API group, twice; the operator writes its requests itself.
# What is left out of it is more than all the rest of the image, and what is loaded of it is loaded here once to see that it is there.
RUN cd /opt/agentstop/lib/python3*/site-packages && \
    find kubernetes/client/api kubernetes/aio/client/api -name '*_api.py' ! -path '*/aio/*/coordination_v1_api.py' -delete && \
    find kubernetes/client/models -name '*_*.py' ! -name '__init__.py' ! -name v1_object_meta.py \
        ! -name v1_owner_reference.py ! -name v1_managed_fields_entry.py -delete && \
    find . -depth -type d '(' -name tests -o -name __pycache__ ')' -exec rm -r '{}' + && \
    find . -type f '(' -name '*_test.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.proto' ')' -delete && \
    find /opt/agentstop/bin -type f ! -name agentstop -delete && \
    python3 -m compileall -q --invalidation-mode unchecked-hash -x 'kubernetes/aio/client/(api|models)/[a-z]' . && \
    /opt/agentstop/bin/agentstop --version && \
    /opt/agentstop/bin/python3 -c 'import agentstop.controller.operator, agentstop.cluster.connection, opentelemetry.sdk.trace.export'

FROM ${BASE_IMAGE}
# Debian's packages compile Python's own library when they are installed; distroless images are not installed, and a
# read-only root keeps nothing: without this, every start would compile it.
USER 0:0
RUN ["/usr/bin/python3", "-c", "import compileall as c, os, py_compile as p, sys; sys.exit(not c.compile_dir(os.path.dirname(os.__file__), quiet=1, invalidation_mode=p.PycInvalidationMode.UNCHECKED_HASH))"]
COPY --from=build /opt/agentstop /opt/agentstop
# HOME and USER are set so that any numeric user will do: Python and kopf ask /etc/passwd otherwise, which knows one.
ENV PATH=/opt/agentstop/bin:/usr/bin HOME=/home/nonroot USER=agentstop PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
LABEL org.opencontainers.image.title="agentstop" \
      org.opencontainers.image.description="A Kubernetes operator that stops AI-agent work: fast, gracefully, and with proof." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="agentstop" \
      org.opencontainers.image.url="https://github.com/agentstop/agentstop" \
      org.opencontainers.image.source="https://github.com/agentstop/agentstop" \
      org.opencontainers.image.documentation="https://github.com/agentstop/agentstop/blob/v0.1.0/docs/operations.md"
USER 65532:65532
WORKDIR /
EXPOSE 8080 9090
ENTRYPOINT ["/opt/agentstop/bin/agentstop"]
CMD ["--help"]
