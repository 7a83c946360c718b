// How Vite builds the page: files only, nothing inline, so that it runs under a strict content-security policy.

import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // The SDK comes from its sources, by the paths of tsconfig.json: there is no build of it to forget.
  resolve: { tsconfigPaths: true },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    emptyOutDir: true,
    rolldownOptions: {
      onLog(level, log, tell) {
        // "use client" in the SDK's hooks is for frameworks that render on a server.
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") tell(level, log);
      },
    },
  },
});
