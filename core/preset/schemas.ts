/** Ways through the schemas of options. */
import { z } from './zod.ts';

/** What is said of a schema with `meta`, also when it is optional, nullable, described or has a default. */
export function metaOf(schema: z.core.$ZodType, mark: string): unknown {
  for (let current: z.core.$ZodType | undefined = schema; current !== undefined;) {
    const value = z.globalRegistry.get(current)?.[mark];
    if (value !== undefined) return value;
    const definition: z.core.$ZodTypeDef & { innerType?: z.core.$ZodType } = current._zod.def;
    current = definition.innerType;
  }
  return undefined;
}

/** A schema without its optional, nullable and default shells. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const definition: z.core.$ZodTypeDef & { innerType?: z.core.$ZodType } = schema._zod.def;
  return definition.innerType === undefined ? schema : unwrap(definition.innerType);
}

/** The schema of a list's elements, through optional and default shells; the schema itself where it is no list. */
export function elementOf(schema: z.core.$ZodType): z.core.$ZodType {
  const { element, innerType }: z.core.$ZodTypeDef & { element?: z.core.$ZodType; innerType?: z.core.$ZodType } =
    schema._zod.def;
  return element ?? (innerType === undefined ? schema : elementOf(innerType));
}

/** The schema of an option, through optional and default shells; the schema itself where it has no such option. */
export function memberOf(schema: z.core.$ZodType, key: string): z.core.$ZodType {
  const definition: z.core.$ZodTypeDef & {
    innerType?: z.core.$ZodType;
    shape?: Readonly<Record<string, z.core.$ZodType>>;
  } = schema._zod.def;
  if (definition.shape !== undefined) return definition.shape[key] ?? schema;
  return definition.innerType === undefined ? schema : memberOf(definition.innerType, key);
}
