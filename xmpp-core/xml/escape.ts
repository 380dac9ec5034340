const textSpecials = /[&<>\r\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]|\p{Cs}/gu;
const attributeSpecials = /[&<>"'\u0000-\u001F\uFFFE\uFFFF]|\p{Cs}/gu;
const suspicious = /[&<>"'\u0000-\u001F\uD800-\uDFFF\uFFFE\uFFFF]/;

function substitute(character: string): string {
  switch (character) {
    case "&":
      return "&amp;";
    case "<":
      return "&lt;";
    case ">":
      return "&gt;";
    case '"':
      return "&quot;";
    case "'":
      return "&apos;";
    case "\t":
      return "&#9;";
    case "\n":
      return "&#10;";
    case "\r":
      return "&#13;";
    default:
      // Controls, noncharacters and lone surrogates have no form in XML 1.0 at all.
      return "";
  }
}

/** Text as XML content; characters that XML cannot hold are left out. `escapeText("a<b")` is `a&lt;b`. */
export function escapeText(text: string): string {
  return suspicious.test(text) ? text.replace(textSpecials, substitute) : text;
}

/** Text as an attribute value in either kind of quotes; tab and line ends survive as references. */
export function escapeAttribute(text: string): string {
  return suspicious.test(text) ? text.replace(attributeSpecials, substitute) : text;
}
