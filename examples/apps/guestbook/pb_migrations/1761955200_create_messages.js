/// <reference path="../pb_data/types.d.ts" />

migrate(
  (app) => {
    const messages = new Collection({
      type: "base",
      name: "messages",
      // An empty rule lets everyone in, null only superusers: anyone may read and
      // sign, but what is written can be changed or removed by a superuser alone.
      listRule: "",
      viewRule: "",
      createRule: "",
      updateRule: null,
      deleteRule: null,
      fields: [
        { type: "text", name: "author", required: true, max: 80 },
        { type: "text", name: "body", required: true, max: 1000 },
        { type: "autodate", name: "created", onCreate: true },
      ],
      // The page asks for the newest first, always.
      indexes: ["CREATE INDEX `idx_messages_created` ON `messages` (`created`)"],
    });

    app.save(messages);
  },
  (app) => {
    app.delete(app.findCollectionByNameOrId("messages"));
  },
);
