FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/goldfeed \
 && /opt/goldfeed/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
 && python -m venv /opt/tools \
 && grep -A 3 '^setuptools==' requirements-dev.lock | sed 's/ *# via.*//' >/tmp/tools.lock \
 && /opt/tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/tools.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
RUN /opt/tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /tmp/wheel . \
 && /opt/goldfeed/bin/pip install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/goldfeed/bin/python -m compileall -q /opt/goldfeed/lib \
 && rm -rf /opt/goldfeed/lib/python3.13/site-packages/pip /opt/goldfeed/lib/python3.13/site-packages/pip-*.dist-info /opt/goldfeed/bin/pip*

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="goldfeed" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --create-home --home-dir /home/goldfeed goldfeed \
 && install -d -o goldfeed -g goldfeed /data \
 && install -d -o 472 -g 0 -m 0700 /secrets
COPY --from=build /opt/goldfeed /opt/goldfeed
WORKDIR /project
COPY goldfeed.yml ./
COPY sql sql
ENV PATH=/opt/goldfeed/bin:$PATH GOLDFEED_HOME=/data PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER goldfeed
VOLUME /data
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=6 \
  CMD ["python", "-c", "import os, ssl, urllib.request as r; s = 's' if os.environ.get('GOLDFEED_TLS_CERTIFICATE') else ''; r.urlopen(f'http{s}://127.0.0.1:8080/health', timeout=4, context=ssl._create_unverified_context() if s else None)"]
ENTRYPOINT ["goldfeed"]
CMD ["serve"]
