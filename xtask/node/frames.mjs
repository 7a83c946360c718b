// Turns the schema bundle on standard input into TypeScript types on standard output.
//
// Owns the way from a definition to a type and nothing else: which definitions there are, and what they say, is the
// schema's. What the generator reads differently than a validator does is put straight before it.
import { readFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

const bundle = JSON.parse(readFileSync(0, "utf8"));
const roots = process.argv.slice(2);

// Keys that constrain a value without saying anything of its type.
const TYPELESS = new Set(["description", "title"]);

function prepare(schema, name) {
  if (Array.isArray(schema)) return schema.map((item) => prepare(item));
  if (schema === false) return { tsType: "never" };
  if (schema === null || typeof schema !== "object") return schema;
  const { $ref, not, propertyNames, ...rest } = schema;
  // A custom type's name: what is received is any text; what is sent is made by `customType`, so that a known type with a
  // wrong payload does not pass as a custom one.
  if ($ref === "#/$defs/EventType") return { tsType: "CustomEventType" };
  if ($ref !== undefined) {
    // Words beside a reference would make a copy of the type that it names.
    return Object.keys(rest).length === 0 ? { $ref } : { ...rest, allOf: [{ $ref }] };
  }
  if (Object.keys(rest).every((key) => TYPELESS.has(key))) return { ...rest, tsType: "unknown" };
  const prepared = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => {
      if (key === "properties" || key === "$defs") {
        return [key, Object.fromEntries(Object.entries(value).map(([inner, item]) => [inner, prepare(item, inner)]))];
      }
      return [key, key === "enum" || key === "required" || key === "discriminator" ? value : prepare(value)];
    }),
  );
  if (name !== undefined && bundle.$defs[name] === schema) prepared.title = name;
  return prepared;
}

const { EventType, ...definitions } = bundle.$defs;
const schema = prepare({ $defs: definitions });
schema.$defs.CustomEvent.properties.type = { type: "string", description: EventType.description };
schema.title = "GeneratedRoot";
schema.anyOf = roots.map((name) => ({ $ref: `#/$defs/${name}` }));

const types = await compile(schema, "GeneratedRoot", {
  additionalProperties: false,
  ignoreMinAndMaxItems: true,
  bannerComment: "",
  format: true,
  style: { printWidth: 120 },
});
process.stdout.write(types.replace(/^export type GeneratedRoot =[^;]*;\n/m, "").trimStart());
