import { defineConfig } from "vite";

export default defineConfig({
  server: {
    // `npm run dev` serves the page; the API is that of a `notes serve` beside it.
    proxy: { "/api": "http://127.0.0.1:8090" },
  },
});
