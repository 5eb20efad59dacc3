/// <reference path="../pb_data/types.d.ts" />

routerAdd("GET", "/api/guestbook/stats", (e) => {
  const { version } = require(`${__hooks}/guestbook.js`);

  return e.json(200, { messages: $app.countRecords("messages"), version });
});

// Bound to the record rather than to the request, so that what the dashboard or another
// hook writes is tidied too.
onRecordCreate((e) => {
  const { maxLinks, tidy, countLinks } = require(`${__hooks}/guestbook.js`);

  // A name has one line, a message may have several.
  e.record.set("author", tidy(e.record.getString("author")).replace(/\s+/g, " "));
  e.record.set("body", tidy(e.record.getString("body")));

  if (countLinks(e.record.getString("body")) > maxLinks) {
    throw new BadRequestError("The message was not accepted.", {
      body: new ValidationError("too_many_links", `At most ${maxLinks} links, please.`),
    });
  }

  // The collection's own validation and the insert happen in here, on the tidied text.
  e.next();
}, "messages");
