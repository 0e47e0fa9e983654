// How the page is built: into static/, which the Python package serves and the wheel carries.

import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** Copies the basemap files, with their licence, beside the bundle: they are served as they are. */
function basemap(): Plugin {
  return {
    name: "basemap",
    apply: "build",
    writeBundle({ dir }) {
      const target = `${dir}/basemap`;
      mkdirSync(target, { recursive: true });
      for (const name of readdirSync("basemap")) copyFileSync(`basemap/${name}`, `${target}/${name}`);
    },
  };
}

/** Leaflet as it is: the service puts it into briefings, which are to open offline. The page itself does not use it. */
function leaflet(): Plugin {
  return {
    name: "leaflet",
    apply: "build",
    writeBundle({ dir }) {
      const target = `${dir}/leaflet`;
      mkdirSync(target, { recursive: true });
      for (const name of ["leaflet.js", "leaflet.css"])
        copyFileSync(`node_modules/leaflet/dist/${name}`, `${target}/${name}`);
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [basemap(), leaflet()],
  worker: { format: "es" },
  build: {
    outDir: "static",
    emptyOutDir: true,
    target: "es2022",
    // MapLibre alone is a megabyte; the warning would be there on every build and say nothing.
    chunkSizeWarningLimit: 1500,
    rolldownOptions: { input: { index: "index.html", bench: "bench.html" } },
  },
  server: { proxy: { "/live": { target: "ws://127.0.0.1:8600", ws: true } } },
  test: { include: ["tests/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
