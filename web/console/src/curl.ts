/** The `curl` that does what a form does. The token stands in it as `$TOKEN`. */

/** For a POSIX shell: quoted, whatever is in it. */
function quoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

export function curlOf(url: string, body: unknown): string {
  return [
    `curl -sS ${quoted(url)}`,
    `  -H "Authorization: Bearer $TOKEN"`,
    `  -H 'Content-Type: application/json'`,
    `  -d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n");
}
