// What the hooks share. PocketBase runs each handler in a JavaScript context of its
// own, which sees nothing of the file around it: a handler must `require` this.

// Reported by the stats route, so that one can see from outside which release answers.
const version = "1.0.0";

// Guestbooks draw link spam more than anything else; people rarely need a third one.
const maxLinks = 2;

// Text as a person meant it: one kind of line ending, no control characters, nothing
// around it. A message of only spaces becomes empty, and fails as "required".
function tidy(text) {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/[\u0000-\u0009\u000b-\u001f\u007f]/g, " ")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function countLinks(text) {
  return (text.match(/https?:\/\//gi) || []).length;
}

module.exports = { version, maxLinks, tidy, countLinks };
