# Builds without a compiler: on Node 24 the database is Node's own SQLite, and nothing else is native.
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Scripts are left out so that better-sqlite3 is not compiled; the build tools' own binaries are packages, not scripts.
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY agent agent
COPY xmpp-core xmpp-core
RUN npm run build && chmod 755 dist/agent/cli.js
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="Firekeeper" \
      org.opencontainers.image.description="An XMPP service that runs itself: an agent that follows the host's settings, and an Openfire-compatible server." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 700 -o node -g node /data \
 && ln -s /app/dist/agent/cli.js /usr/local/bin/firekeeper
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
ENV NODE_ENV=production FIREKEEPER_HOME=/data
USER node
VOLUME /data
EXPOSE 5222 5223 7070 7443 7777 9090 9091
# "A user could log in": data can be written, certificates are there, the client ports are open.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9090/health/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--"]
# Alone, this container is the whole service; docker-compose.yml keeps agent and server apart.
CMD ["node", "dist/agent/main.js"]
