/**
 * From the JSON Schema of an event to the fields of a form, and from what was typed there to a payload.
 *
 * Owns the little of JSON Schema that event payloads use. A payload without named fields is one field of JSON.
 */

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export interface Field {
  readonly name: string;
  readonly kind: "text" | "number" | "boolean" | "json";
  readonly isRequired: boolean;
  readonly description: string;
}

/** What was typed, by the field's name: a text, or whether it is checked. */
export type Typed = Readonly<Record<string, string | boolean>>;

/** The name of the one field of a payload without named fields. */
export const WHOLE = "payload";

/** The payload of an event type, as the schema has it. */
export function payloadSchema(bundle: Schema, type: string): Schema | undefined {
  const event = Object.values(bundle.$defs ?? {}).find(({ properties }) => properties?.["type"]?.const === type && properties["payload"]);
  return event && resolved(bundle, event.properties?.["payload"]);
}

function resolved(bundle: Schema, schema: Schema | undefined): Schema | undefined {
  const name = schema?.$ref?.replace("#/$defs/", "");
  return name ? bundle.$defs?.[name] : schema;
}

/** The fields of a payload: the required ones first, in the schema's order. */
export function fieldsOf(bundle: Schema, payload: Schema | undefined): Field[] {
  const { properties = {}, required = [] } = payload ?? {};
  const names = [...required, ...Object.keys(properties).filter((name) => !required.includes(name))];
  const fields = names.map((name) => {
    const schema = resolved(bundle, properties[name]) ?? {};
    return { name, kind: kindOf(schema), isRequired: required.includes(name), description: properties[name]?.description ?? "" };
  });
  return fields.length ? fields : [{ name: WHOLE, kind: "json", isRequired: true, description: payload?.description ?? "Whatever the application sends." }];
}

function kindOf({ type }: Schema): Field["kind"] {
  if (type === "string") return "text";
  if (type === "boolean") return "boolean";
  return type === "integer" || type === "number" ? "number" : "json";
}

/** The payload, and for each field that cannot be one what is wrong with it. */
export function payloadOf(fields: readonly Field[], typed: Typed): { payload: unknown; wrong: Record<string, string> } {
  const payload: Record<string, unknown> = {};
  const wrong: Record<string, string> = {};
  for (const { name, kind, isRequired } of fields) {
    const value = typed[name] ?? (kind === "boolean" ? false : "");
    if (value === "" || (value === false && !isRequired)) {
      if (isRequired) wrong[name] = "required";
    } else if (kind === "json") {
      try {
        payload[name] = JSON.parse(String(value));
      } catch {
        wrong[name] = "not JSON";
      }
    } else {
      payload[name] = kind === "number" ? Number(value) : value;
    }
  }
  return { payload: fields[0]?.name === WHOLE && fields.length === 1 ? payload[WHOLE] : payload, wrong };
}

/** Something that a field could hold. */
export function exampleOf({ name, kind }: Field, type: string): string | boolean {
  const [noun = "event"] = type.split(".");
  if (kind === "boolean") return true;
  if (kind === "number") return "1";
  if (kind === "json") return name === WHOLE ? '{"hello":"world"}' : '{"status":"done"}';
  if (name === "id") return `${noun}_1`;
  if (name === "teamId") return "demo";
  if (name.endsWith("Id")) return `${name.slice(0, -2)}_1`;
  return EXAMPLES[name] ?? `a ${name}`;
}

const EXAMPLES: Readonly<Record<string, string>> = {
  identifier: "DEMO-1",
  title: "Hello",
  status: "todo",
  priority: "high",
  body: "Looks good",
  userEmail: "ann@example.com",
};
