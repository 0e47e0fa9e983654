# The service alone; the database is another container (docker-compose.yml) or COP_DATABASE_URL.

FROM node:22.20-bookworm-slim AS page
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY web/ ./
RUN npm run build

FROM python:3.12.12-slim-bookworm AS package
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/cop
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN /opt/cop/bin/pip install --require-hashes -r requirements.lock \
 && python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE ./
COPY cop/ cop/
COPY layers/ layers/
COPY tiles/ tiles/
COPY web/__init__.py web/missing.html web/
COPY web/basemap/NOTICE web/basemap/LICENSE-ODbL-1.0.md web/basemap/
COPY --from=page /build/web/static/ web/static/
# The page is built already, by the stage above.
RUN COP_SKIP_WEB=1 /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist . \
 && /opt/cop/bin/pip install --no-deps /build/dist/*.whl

FROM python:3.12.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin cop
COPY --from=package /opt/cop /opt/cop
ENV PATH=/opt/cop/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    COP_HOST=0.0.0.0 COP_PORT=8600 COP_DATA_DIR=/tmp/cop
USER 10001
EXPOSE 8600
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8600/livez', timeout=2)"]
ENTRYPOINT ["cop"]
CMD ["serve"]
