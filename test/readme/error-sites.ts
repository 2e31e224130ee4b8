/**
 * Every error the program can raise, read from its sources: each `new ReasongenError({ … })` (and its kin) with code, exit code, message and hint.
 *
 * Where a field comes from a parameter, the calls of that function are followed; where it comes from a function, its returns; a condition is
 * taken both ways, alike in every field. So one `new` may stand for many errors. What only a run can know is written as an ellipsis.
 */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';

export interface RaisedError {
  readonly code: string;
  /** The number, or `cause` where it is that of the error which caused this one. */
  readonly exitCode: number | 'cause';
  readonly message: string;
  /** Absent where there is nothing to try. */
  readonly hint?: string;
  /** `core/io/disk.ts:99`. */
  readonly place: string;
}

/** An error whose code cannot be read, and why. */
export interface UnreadSite {
  readonly place: string;
  readonly expression: string;
}

/** Constructors of errors, with the exit code of one that names none. */
const constructors: Readonly<Record<string, number>> = { ReasongenError: 1, PresetError: 2, SetupError: 3 };

/** What an expression stands for while one error is read: parameters by declaration, and the branches taken. */
interface Reading {
  readonly parameters: ReadonlyMap<ts.Node, Bound>;
  readonly branches: ReadonlyMap<string, number>;
  /** Branch points met that nobody has decided: name and number of ways. */
  readonly undecided: Map<string, number>;
  /** Expressions that cannot be met on this way. */
  readonly impossible: Set<ts.Node>;
}

/** An expression together with what its own names stand for. */
interface Bound {
  readonly node: ts.Expression;
  readonly parameters: ReadonlyMap<ts.Node, Bound>;
}

/** Deep enough for a helper of a helper; recursion ends here. */
const deepest = 6;

export function readErrors(root: string): { errors: readonly RaisedError[]; unread: readonly UnreadSite[] } {
  return new Reader(root).read();
}

function sources(root: string): string[] {
  return ['core', 'plugins'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
}

class Reader {
  private readonly root: string;
  private readonly files: readonly ts.SourceFile[];
  private readonly checker: ts.TypeChecker;
  /** Calls by the name of what is called. */
  private readonly calls = new Map<string, ts.CallExpression[]>();
  private readonly sites: ts.NewExpression[] = [];
  private readonly errors: RaisedError[] = [];
  private readonly unread: UnreadSite[] = [];

  constructor(root: string) {
    this.root = root;
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    const names = sources(root);
    const program = ts.createProgram(names, { ...options, noEmit: true });
    this.checker = program.getTypeChecker();
    this.files = program.getSourceFiles().filter(({ fileName }) => names.includes(fileName));
    for (const file of this.files) this.index(file);
  }

  read(): { errors: readonly RaisedError[]; unread: readonly UnreadSite[] } {
    for (const site of this.sites) {
      const [fields] = site.arguments ?? [];
      if (fields !== undefined && !this.isForwarded(fields)) this.readAll(site, fields);
    }
    return { errors: this.errors, unread: this.unread };
  }

  private index(file: ts.SourceFile): void {
    const visit = (node: ts.Node): void => {
      if (ts.isCallExpression(node)) {
        const name = calledName(node);
        if (name !== undefined) this.calls.set(name, [...(this.calls.get(name) ?? []), node]);
      }
      if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text in constructors)
        this.sites.push(node);
      ts.forEachChild(node, visit);
    };
    visit(file);
  }

  /** Whether it only gives a caught error another place or a longer message: its code is that of an error. */
  private isForwarded(fields: ts.Expression): boolean {
    if (!ts.isObjectLiteralExpression(fields)) return false;
    const code = fields.properties.find((property) => property.name?.getText() === 'code');
    if (code === undefined) return false;
    const name = ts.isPropertyAssignment(code) ? code.initializer : code.name;
    if (name === undefined) return false;
    if (ts.isPropertyAccessExpression(name)) return this.isOfError(this.checker.getSymbolAtLocation(name.name));
    const declaration = ts.isShorthandPropertyAssignment(code)
      ? this.checker.getShorthandAssignmentValueSymbol(code)?.valueDeclaration
      : undefined;
    if (declaration === undefined || !ts.isBindingElement(declaration)) return false;
    return this.isOfError(this.checker.getTypeAtLocation(declaration.parent).getProperty('code'));
  }

  private isOfError(property: ts.Symbol | undefined): boolean {
    const owner = property?.valueDeclaration?.parent;
    const around = owner !== undefined && ts.findAncestor(owner, ts.isClassDeclaration);
    return around !== undefined && around !== false && (around.name?.text ?? '') in constructors;
  }

  private callsOf(around: ts.SignatureDeclaration): readonly ts.CallExpression[] {
    const named = ts.isArrowFunction(around) || ts.isFunctionExpression(around) ? around.parent : around;
    const name = 'name' in named ? (named.name as ts.Node | undefined) : undefined;
    if (name === undefined || !ts.isIdentifier(name)) return [];
    return (this.calls.get(name.text) ?? []).filter((call) => this.declarationOf(callee(call)) === named);
  }

  private declarationOf(node: ts.Node): ts.Node | undefined {
    const symbol = this.checker.getSymbolAtLocation(node);
    if (symbol === undefined) return undefined;
    const target = symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol;
    return target.valueDeclaration;
  }

  /** Every combination of branches of one site. */
  private readAll(site: ts.NewExpression, fields: ts.Expression): void {
    const waiting: ReadonlyMap<string, number>[] = [new Map()];
    for (let branches = waiting.pop(); branches !== undefined; branches = waiting.pop()) {
      const reading: Reading = { parameters: new Map(), branches, undecided: new Map(), impossible: new Set() };
      const error = this.readOne(site, fields, reading);
      const [point] = reading.undecided;
      if (point !== undefined)
        for (let way = 0; way < point[1]; way++) waiting.push(new Map([...branches, [point[0], way]]));
      else if (reading.impossible.size === 0) this.keep(site, error);
    }
  }

  private keep(site: ts.NewExpression, error: RaisedError | undefined): void {
    const { fileName } = site.getSourceFile();
    const line = site.getSourceFile().getLineAndCharacterOfPosition(site.getStart()).line + 1;
    const place = `${relative(this.root, fileName)}:${line}`;
    if (error === undefined) this.unread.push({ place, expression: site.getText() });
    else this.errors.push({ ...error, place });
  }

  private readOne(site: ts.NewExpression, node: ts.Expression, reading: Reading): RaisedError | undefined {
    const fields = this.fieldsOf(node, reading, 0);
    // Only what is asked for the code tells that a way cannot be met: the rest may look at what is not there.
    const text = (name: string, impossible = new Set<ts.Node>()): string | undefined => {
      const bound = fields.get(name);
      if (bound === undefined) return undefined;
      return this.textOf(bound.node, { ...reading, parameters: bound.parameters, impossible }, 0);
    };
    const code = text('code', reading.impossible);
    if (code === undefined || !/^[A-Z][A-Z\d_]+$/.test(code)) return undefined;
    const exit = fields.get('exitCode');
    const number =
      exit === undefined ? undefined : this.numberOf(exit.node, { ...reading, parameters: exit.parameters });
    const hint = text('hint');
    return {
      code,
      exitCode: exit === undefined ? (constructors[site.expression.getText()] ?? 1) : (number ?? 'cause'),
      message: text('message') ?? ellipsis,
      ...(hint !== undefined && hint !== '' && { hint }),
      place: '',
    };
  }

  /** The properties of an object: of a literal, a constant, a parameter, or what a function returns. */
  private fieldsOf(node: ts.Expression, reading: Reading, depth: number): Map<string, Bound> {
    const fields = new Map<string, Bound>();
    if (depth > deepest) return fields;
    if (ts.isObjectLiteralExpression(node)) {
      for (const property of node.properties) {
        if (ts.isSpreadAssignment(property))
          for (const [name, bound] of this.fieldsOf(property.expression, reading, depth + 1)) fields.set(name, bound);
        else if (ts.isPropertyAssignment(property))
          fields.set(property.name.getText(), { node: property.initializer, parameters: reading.parameters });
        else if (ts.isShorthandPropertyAssignment(property))
          fields.set(property.name.text, { node: property.name, parameters: reading.parameters });
      }
      return fields;
    }
    const next = this.follow(node, reading);
    return next === undefined
      ? fields
      : this.fieldsOf(next.node, { ...reading, parameters: next.parameters }, depth + 1);
  }

  /** What an expression stands for, one step on; undefined where only a run can know. */
  private follow(node: ts.Expression, reading: Reading): Bound | undefined {
    const same = (next: ts.Expression): Bound => ({ node: next, parameters: reading.parameters });
    if (
      ts.isParenthesizedExpression(node) ||
      ts.isAsExpression(node) ||
      ts.isAwaitExpression(node) ||
      ts.isSatisfiesExpression(node)
    )
      return same(node.expression);
    if (ts.isConditionalExpression(node))
      return same(choose(reading, node.condition.getText(), 2) === 0 ? node.whenTrue : node.whenFalse);
    if (ts.isBinaryExpression(node)) {
      const kind = node.operatorToken.kind;
      if (kind === ts.SyntaxKind.AmpersandAmpersandToken)
        return choose(reading, node.left.getText(), 2) === 0 ? same(node.right) : undefined;
      if (kind === ts.SyntaxKind.QuestionQuestionToken || kind === ts.SyntaxKind.BarBarToken)
        return same(choose(reading, node.left.getText(), 2) === 0 ? node.left : node.right);
      return undefined;
    }
    if (ts.isCallExpression(node)) return this.followCall(node, reading);
    if (ts.isPropertyAccessExpression(node)) {
      const fields = this.fieldsOf(node.expression, reading, 1);
      // An object without it, taken for one that has it: the program looks before it asks.
      if (fields.size > 0 && !fields.has(node.name.text)) reading.impossible.add(node);
      return fields.get(node.name.text);
    }
    if (ts.isIdentifier(node)) return this.followName(node, reading);
    return undefined;
  }

  private followName(node: ts.Identifier, reading: Reading): Bound | undefined {
    const declaration = ts.isShorthandPropertyAssignment(node.parent)
      ? this.checker.getShorthandAssignmentValueSymbol(node.parent)?.valueDeclaration
      : this.declarationOf(node);
    if (declaration === undefined) return undefined;
    if (ts.isParameter(declaration)) return this.given(declaration, reading);
    if (ts.isVariableDeclaration(declaration) && declaration.initializer !== undefined && isConstant(declaration))
      return { node: declaration.initializer, parameters: reading.parameters };
    if (!ts.isBindingElement(declaration)) return undefined;
    const name = (declaration.propertyName ?? declaration.name).getText();
    const owner = declaration.parent.parent;
    if (ts.isParameter(owner)) {
      const given = this.given(owner, reading);
      return given === undefined
        ? undefined
        : this.fieldsOf(given.node, { ...reading, parameters: given.parameters }, 1).get(name);
    }
    return ts.isVariableDeclaration(owner) && owner.initializer !== undefined
      ? this.fieldsOf(owner.initializer, reading, 1).get(name)
      : undefined;
  }

  /** What a parameter stands for: what the call being followed gave, or else one of all calls of its function. */
  private given(parameter: ts.ParameterDeclaration, reading: Reading): Bound | undefined {
    const known = reading.parameters.get(parameter);
    if (known !== undefined) return known;
    const around = parameter.parent;
    const calls = this.callsOf(around);
    const call = calls[calls.length < 2 ? 0 : choose(reading, `calls of ${positionOf(around)}`, calls.length)];
    if (call === undefined) return undefined;
    const node = call.arguments[around.parameters.indexOf(parameter)] ?? parameter.initializer;
    return node === undefined ? undefined : { node, parameters: new Map() };
  }

  /** A call stands for one of the function's returns. */
  private followCall(call: ts.CallExpression, reading: Reading): Bound | undefined {
    const declaration = this.declarationOf(callee(call));
    const around =
      declaration !== undefined && ts.isVariableDeclaration(declaration) ? declaration.initializer : declaration;
    if (around === undefined || !ts.isFunctionLike(around) || !('body' in around) || around.body === undefined)
      return undefined;
    if (around.getSourceFile().isDeclarationFile) return undefined;
    const returned = returnsOf(around.body as ts.Node).filter(
      (each) => each.kind !== ts.SyntaxKind.NullKeyword && each.getText() !== 'undefined',
    );
    if (returned.length === 0) return undefined;
    const node =
      returned[returned.length === 1 ? 0 : choose(reading, `returns of ${positionOf(around)}`, returned.length)];
    if (node === undefined) return undefined;
    const bound = around.parameters.flatMap((parameter, index): [ts.Node, Bound][] => {
      const given = call.arguments[index] ?? parameter.initializer;
      return given === undefined ? [] : [[parameter, { node: given, parameters: reading.parameters }]];
    });
    return { node, parameters: new Map(bound) };
  }

  /** The text of an expression, with an ellipsis for what only a run can know; undefined where it is left out. */
  private textOf(node: ts.Expression, reading: Reading, depth: number): string | undefined {
    if (ts.isStringLiteralLike(node)) return node.text;
    if (node.getText() === 'undefined') return undefined;
    if (depth > deepest) return ellipsis;
    const inner = (part: ts.Expression): string => this.textOf(part, reading, depth + 1) ?? '';
    if (ts.isTemplateExpression(node))
      return (
        node.head.text +
        node.templateSpans.map((span) => this.spanOf(span.expression, reading, depth) + span.literal.text).join('')
      );
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
      return inner(node.left) + inner(node.right);
    const next = this.follow(node, reading);
    if (next === undefined) return this.textOfType(node, reading) ?? ellipsis;
    return this.textOf(next.node, { ...reading, parameters: next.parameters }, depth + 1);
  }

  /** One of the texts that the type of an expression names; undefined where it is of any text. */
  private textOfType(node: ts.Expression, reading: Reading): string | undefined {
    const type = this.checker.getTypeAtLocation(node);
    const named = type.isUnion() ? type.types : [type];
    const texts = named.flatMap((each) => (each.isStringLiteral() ? [each.value] : []));
    if (texts.length !== named.length) return undefined;
    return texts[texts.length < 2 ? 0 : choose(reading, `type at ${positionOf(node)}`, texts.length)];
  }

  /** Part of a template: words where they are written in the source, no branches for mere details. */
  private spanOf(node: ts.Expression, reading: Reading, depth: number): string {
    const quiet: Reading = { ...reading, undecided: new Map(), impossible: new Set() };
    const text = this.textOf(node, quiet, depth + 1) ?? '';
    return quiet.undecided.size === 0 ? text : ellipsis;
  }

  private numberOf(node: ts.Expression, reading: Reading, depth = 0): number | undefined {
    const type = this.checker.getTypeAtLocation(node);
    if (type.isNumberLiteral()) return type.value;
    const next = depth > deepest ? undefined : this.follow(node, reading);
    return next === undefined
      ? undefined
      : this.numberOf(next.node, { ...reading, parameters: next.parameters }, depth + 1);
  }
}

const ellipsis = '…';

/** The way taken at a branch point; where nobody has decided, the first, and the point is noted. */
function choose({ branches, undecided }: Reading, point: string, ways: number): number {
  const way = branches.get(point);
  if (way === undefined) undecided.set(point, ways);
  return way ?? 0;
}

function positionOf(node: ts.Node): string {
  return `${node.getSourceFile().fileName}:${node.getStart()}`;
}

function callee({ expression }: ts.CallExpression): ts.Node {
  return ts.isPropertyAccessExpression(expression) ? expression.name : expression;
}

function calledName(call: ts.CallExpression): string | undefined {
  const name = callee(call);
  return ts.isIdentifier(name) ? name.text : undefined;
}

function isConstant(declaration: ts.VariableDeclaration): boolean {
  return (declaration.parent.flags & ts.NodeFlags.Const) !== 0;
}

/** What a function may return, its inner functions left out. */
function returnsOf(body: ts.Node): ts.Expression[] {
  if (!ts.isBlock(body)) return [body as ts.Expression];
  const returned: ts.Expression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) return;
    if (ts.isReturnStatement(node) && node.expression !== undefined) returned.push(node.expression);
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(body, visit);
  return returned;
}
