/**
 * ONNX models as bytes: the few messages of onnx.proto that the bench needs, written by hand, so that no exporter is installed.
 * Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

const float = 1;
const int64 = 7;

/** Collects nodes and weights; every method returns the name of its result. */
export class OnnxGraph {
  constructor() {
    /** @type {Uint8Array[]} */ this.nodes = [];
    /** @type {Uint8Array[]} */ this.initializers = [];
    /** @type {Uint8Array[]} */ this.inputs = [];
    /** @type {Uint8Array[]} */ this.outputs = [];
    this.count = 0;
  }

  /** @param {string} name @param {(number | string)[]} shape names of dimensions that vary @param {'float' | 'int64'} type */
  input(name, shape, type = 'float') {
    this.inputs.push(valueInfo(name, shape, type === 'float' ? float : int64));
    return name;
  }

  /** @param {string} name @param {(number | string)[]} shape @param {'float' | 'int64'} type */
  output(name, shape, type = 'float') {
    this.outputs.push(valueInfo(name, shape, type === 'float' ? float : int64));
    return name;
  }

  /** @param {string} name @param {readonly number[]} shape @param {Float32Array | readonly number[]} data whole numbers become int64 */
  weight(name, shape, data) {
    const isFloat = data instanceof Float32Array;
    const bytes = isFloat
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(BigInt64Array.from(data, (value) => BigInt(value)).buffer);
    this.initializers.push(
      message([
        ...shape.map((n) => whole(1, n)),
        whole(2, isFloat ? float : int64),
        text(8, name),
        bytesField(9, bytes),
      ]),
    );
    return name;
  }

  /** @param {readonly number[]} values */
  integers(...values) {
    return this.weight(`constant ${this.count++}`, [values.length], values);
  }

  /** @param {number} value */
  scalar(value) {
    return this.weight(`constant ${this.count++}`, [], Float32Array.of(value));
  }

  /** @param {string} operator @param {readonly string[]} inputs @param {Record<string, number | readonly number[]>} attributes @param {string} [name] of the result */
  node(operator, inputs, attributes = {}, name = `${operator} ${this.count++}`) {
    this.nodes.push(nodeMessage(operator, inputs, [name], attributes));
    return name;
  }

  finish() {
    const graph = message([
      ...this.nodes.map((node) => bytesField(1, node)),
      text(2, 'bench'),
      ...this.initializers.map((tensor) => bytesField(5, tensor)),
      ...this.inputs.map((info) => bytesField(11, info)),
      ...this.outputs.map((info) => bytesField(12, info)),
    ]);
    const operators = message([text(1, ''), whole(2, 17)]);
    return message([whole(1, 8), text(2, 'reasongen-bench'), bytesField(7, graph), bytesField(8, operators)]);
  }
}

/** @param {string} operator @param {readonly string[]} inputs @param {readonly string[]} outputs @param {Record<string, number | readonly number[]>} attributes */
function nodeMessage(operator, inputs, outputs, attributes) {
  return message([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, operator),
    ...Object.entries(attributes).map(([name, value]) => bytesField(5, attribute(name, value))),
  ]);
}

/** Whole numbers and lists of them. @param {string} name @param {number | readonly number[]} value */
function attribute(name, value) {
  return typeof value === 'number'
    ? message([text(1, name), whole(3, value), whole(20, 2)])
    : message([text(1, name), ...value.map((each) => whole(8, each)), whole(20, 7)]);
}

/** @param {string} name @param {(number | string)[]} shape @param {number} type */
function valueInfo(name, shape, type) {
  const dimensions = message(
    shape.map((size) => bytesField(1, message([typeof size === 'number' ? whole(1, size) : text(2, size)]))),
  );
  return message([
    text(1, name),
    bytesField(2, message([bytesField(1, message([whole(1, type), bytesField(2, dimensions)]))])),
  ]);
}

/** @param {readonly Uint8Array[]} parts */
function message(parts) {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/** @param {number} value negative ones take ten bytes */
function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

/** @param {number} field @param {number} value */
const whole = (field, value) => message([varint(field << 3), varint(value)]);
/** @param {number} field @param {Uint8Array} bytes */
const bytesField = (field, bytes) => message([varint((field << 3) | 2), varint(bytes.length), bytes]);
/** @param {number} field @param {string} value */
const text = (field, value) => bytesField(field, new TextEncoder().encode(value));
