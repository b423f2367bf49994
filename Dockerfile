# One image for every process; the command says which. Holds no settings and no secrets.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY . .
# Of the release; there is no repository in here to ask.
ARG VERSION=0.1.0
RUN SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION /venv/bin/pip install --no-cache-dir -c constraints.txt '.[postgres]'

FROM python:3.12-slim
# User 1000 is the first user of most hosts, so that a mounted certificate with mode 0600 can be read.
RUN useradd --uid 1000 --user-group --no-create-home --shell /usr/sbin/nologin executor \
    && install -d -o executor -g executor /data /sandbox
COPY --from=build /venv /venv
COPY flowerconfig.py /app/
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EXECUTOR_DATA_DIR=/data
VOLUME /data
WORKDIR /app
USER executor
# Of a worker; the compose file has the other processes' own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:5003/health', timeout=4)"]
# The exec form: SIGTERM reaches Celery itself, which then ends what it runs and takes nothing new.
CMD ["celery", "-A", "executor.app", "worker"]
