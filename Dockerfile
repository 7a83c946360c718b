# The gateway and the command line in one small image. docs/containers.md says how it was tried and what it measures.
#
# No `RUN --mount`: a builder without BuildKit builds this file as well.

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# What decides which dependencies are built: manifests and the lock file, with every crate emptied to one line. This stage
# runs at every change, but its result stays the same until a manifest does, and then the next stage comes from the cache.
# A new crate needs no line here. The modes of files are made alike, for they differ between checkouts and count.
FROM debian:${DEBIAN}-slim AS manifests
WORKDIR /build
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/src/lib.rs' ! -path '*/src/main.rs' -delete \
    && find . -type d -empty -delete \
    && find . -name '*.rs' | while read -r file; do echo 'fn main() {}' > "$file"; done \
    && chmod -R u=rwX,go=rX .

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /build
COPY --from=manifests /build ./
RUN cargo build --release --locked --bin roomcast
COPY protocol-schema protocol-schema
COPY web/console/dist web/console/dist
COPY crates crates
# Cargo goes by the time of change, and the sources are older than what was just built of nothing. `--frozen`: everything
# that comes from elsewhere is in the layer above.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --release --frozen --bin roomcast

FROM debian:${DEBIAN}-slim
COPY --from=build /build/target/release/roomcast /usr/local/bin/roomcast
# The authorities of the web, for a Redis behind TLS (`rediss://`).
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The one place that `dev` writes to: its secret. A volume that is mounted here for the first time takes over the owner.
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/roomcast
WORKDIR /var/lib/roomcast
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# Loopback inside a container is reached by nobody. Who may reach the container is decided where its port is published.
ENV HOST=0.0.0.0
EXPOSE 3001
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["roomcast", "healthcheck"]
# No shell in between: SIGTERM arrives, and the gateway drains.
ENTRYPOINT ["roomcast"]
CMD ["serve"]
