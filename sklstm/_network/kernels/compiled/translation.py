"""Translation of a small part of Python to LLVM instructions.

A function takes and returns integers, floats and pointers. It consists of assignments, ``if``,
``while``, ``for`` over ``range``, and ``return``. Expressions are arithmetic, comparisons, ``and``,
``or`` and ``not`` in conditions, ``min`` and ``max`` of two integers, elements of pointers, tuples,
and calls. Everything else is an error. Differences from Python:

- Integers have 64 bits. The operands of ``//`` and ``%`` must not be negative.
- A variable keeps the type of the first value that is assigned to it.
- A parameter cannot be assigned to.

A Python function that is called is translated in place, so that it needs no types. If it is marked
as ``translated_once``, all its calls share one translation. An ``Intrinsic`` writes instructions
itself, which express what Python cannot. This takes a twentieth of the time
that a general compiler such as Numba needs to find the types and to translate the same functions.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

from llvmlite import ir

from sklstm._network.kernels.compiled.vectors import Lanes

#: An LLVM value, a Python number if it is constant, or a tuple of values.
Value = Any

INTEGER = ir.IntType(64)
_CONDITION = ir.IntType(1)

#: For each operator: the function for constants, the instructions for integers and for floats.
_OPERATORS: dict[type[ast.operator], tuple[Callable[[Any, Any], Any], str, str]] = {
    ast.Add: (operator.add, "add", "fadd"),
    ast.Sub: (operator.sub, "sub", "fsub"),
    ast.Mult: (operator.mul, "mul", "fmul"),
    ast.FloorDiv: (operator.floordiv, "udiv", ""),
    ast.Mod: (operator.mod, "urem", ""),
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


class Intrinsic(NamedTuple):
    """A function that takes ``Lanes`` and values, and writes instructions."""

    emit: Callable[..., Value]

    def __call__(self, *values: Value) -> Value:
        raise TypeError("an intrinsic can be called in compiled functions only")


class TranslatedOnce(NamedTuple):
    """A function of the module: its calls are calls, and are not translated in place.

    LLVM then has less to compile. All arguments are variables, and nothing is returned. This is
    meant for long functions whose calls take much longer than a call itself.
    """

    function: Callable[..., None]

    def __call__(self, *values: Value) -> Value:
        return self.function(*values)


def translated_once(function: Callable[..., None]) -> TranslatedOnce:
    """Mark a function as ``TranslatedOnce``; its name must not depend on a closure."""
    assert isinstance(function, FunctionType)
    assert function.__closure__ is None
    return TranslatedOnce(function)


class _Variable(NamedTuple):
    """A place on the stack, which LLVM replaces by a register."""

    place: Any


def translate(lanes: Lanes, function: Callable[..., Any], *arguments: Value) -> Value:
    """Write the instructions of a call of ``function``, and return its result."""
    if isinstance(function, Intrinsic):
        return function.emit(lanes, *arguments)
    if isinstance(function, TranslatedOnce):
        return _call_once(lanes, function.function, arguments)
    if function is min or function is max:
        return _extreme(lanes, "<" if function is min else ">", *arguments)
    if not isinstance(function, FunctionType):
        raise TypeError(f"cannot translate a call of {function!r}")
    return _Call(lanes, function, arguments).result()


def _call_once(lanes: Lanes, function: Callable[..., None], arguments: tuple[Value, ...]) -> None:
    def write(lanes: Lanes, *values: Value) -> None:
        if translate(lanes, function, *values) is not None:
            raise NotImplementedError(f"function {function.__qualname__} must not return a value")

    name = f"{function.__module__}.{function.__qualname__}"
    call_of_module(lanes, name, write, [constant(value) for value in arguments])


def call_of_module(
    lanes: Lanes, name: str, write: Callable[..., None], values: Sequence[Value]
) -> None:
    """Call a function of the module; ``write`` writes its instructions before the first call."""
    module = lanes.builder.module
    function = module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block())
        write(Lanes(builder, lanes.dtype), *function.args)
        builder.ret_void()
    lanes.builder.call(function, values)


def constant(value: Value, kind: Any = INTEGER) -> Any:
    """Return a Python number as an LLVM value of this type, and other values as they are."""
    return ir.Constant(kind, value) if isinstance(value, int | float) else value


def _extreme(lanes: Lanes, comparison: str, a: Value, b: Value) -> Value:
    a, b = constant(a), constant(b)
    return lanes.builder.select(lanes.builder.icmp_signed(comparison, a, b), a, b)


@functools.cache
def definition(function: FunctionType) -> ast.FunctionDef:
    """Return the syntax tree of a function; raise an ImportError without its source file."""
    try:
        lines, first = inspect.findsource(function)
        return _definitions("".join(lines))[first + 1]
    except (OSError, KeyError) as error:  # KeyError: the file has changed since it was imported
        raise ImportError(f"the sources of sklstm are needed to compile it: {error}") from error


@functools.cache
def _definitions(source: str) -> dict[int, ast.FunctionDef]:
    """Return all functions of a module by their first lines.

    The source of one function alone would take as long to find as that of all to parse.
    """
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first, *_ = *node.decorator_list, node
            found[first.lineno] = node
    return found


class _Call(ast.NodeVisitor):
    """One call of a Python function: its variables, and the translation of its statements.

    For an expression, ``visit`` returns a value.
    """

    def __init__(self, lanes: Lanes, function: FunctionType, arguments: tuple[Value, ...]) -> None:
        self._lanes, self._builder = lanes, lanes.builder
        self._definition = definition(function)
        names = [argument.arg for argument in self._definition.args.args]
        self._parameters = dict(zip(names, arguments, strict=True))
        self._variables: dict[str, Any] = {}
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self._outside = function.__globals__ | {name: cell.cell_contents for name, cell in cells}
        self._returned: Any = None
        self._end = self._builder.append_basic_block("end")

    def result(self) -> Value:
        self._block(self._definition.body)
        self._branch_to(self._end)
        self._builder.position_at_end(self._end)
        return None if self._returned is None else self._load(self._returned)

    def generic_visit(self, node: ast.AST) -> Any:
        self._require(False, node)

    def _require(self, condition: bool, node: ast.AST) -> None:
        """Raise an error for a statement or expression that cannot be translated."""
        if not condition:
            name, code = self._definition.name, ast.unparse(node)
            raise NotImplementedError(f"cannot translate {code!r} in function {name}")

    # --- statements ---

    def _block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        for target in node.targets:
            self._assign(target, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        value = self._binary(node.op, self.visit(node.target), self.visit(node.value), node)
        self._assign(node.target, value)

    def visit_Return(self, node: ast.Return) -> None:
        self._require(node.value is not None, node)
        value = self.visit(node.value or node)
        if self._returned is None:
            self._returned = self._new_variable(value)
        self._store(self._returned, value)
        self._builder.branch(self._end)

    def visit_If(self, node: ast.If) -> None:
        yes, no, after = self._new_blocks("then", "else", "endif")
        self._test(node.test, yes, no)
        for block, statements in ((yes, node.body), (no, node.orelse)):
            self._builder.position_at_end(block)
            self._block(statements)
            self._branch_to(after)
        self._builder.position_at_end(after)

    def visit_While(self, node: ast.While) -> None:
        self._require(not node.orelse, node)
        head, body, after = self._new_blocks("while", "do", "endwhile")
        self._builder.branch(head)
        self._builder.position_at_end(head)
        self._test(node.test, body, after)
        self._builder.position_at_end(body)
        self._block(node.body)
        self._branch_to(head)
        self._builder.position_at_end(after)

    def visit_For(self, node: ast.For) -> None:
        self._require(not node.orelse, node)
        begin, end, step = self._range(node.iter)
        counter = self._new_variable(begin)
        self._store(counter, begin)
        head, body, after = self._new_blocks("for", "do", "endfor")
        self._builder.branch(head)
        self._builder.position_at_end(head)
        downward = isinstance(step, int) and step < 0
        value = self._load(counter)
        more = self._builder.icmp_signed(">" if downward else "<", value, constant(end))
        self._builder.cbranch(more, body, after)
        self._builder.position_at_end(body)
        self._assign(node.target, value)
        self._block(node.body)
        self._store(counter, self._builder.add(value, constant(step), flags=["nsw"]))
        self._branch_to(head)
        self._builder.position_at_end(after)

    def _range(self, node: ast.expr) -> tuple[Value, Value, Value]:
        """Return begin, end and step; a step that is no negative constant is positive."""
        self._require(isinstance(node, ast.Call) and self.visit(node.func) is range, node)
        assert isinstance(node, ast.Call)
        arguments = [self.visit(argument) for argument in node.args]
        if len(arguments) == 1:
            return 0, arguments[0], 1
        begin, end, step = [*arguments, 1][:3]
        return begin, end, step

    # --- blocks of instructions ---

    def _new_blocks(self, *names: str) -> list[Any]:
        return [self._builder.append_basic_block(name) for name in names]

    def _branch_to(self, block: Any) -> None:
        """Continue with another block, unless the present one ends with a ``return``."""
        if not self._builder.block.is_terminated:
            self._builder.branch(block)

    def _test(self, node: ast.expr, yes: Any, no: Any) -> None:
        """Continue with one of two blocks; ``and`` and ``or`` evaluate no more than is needed."""
        if isinstance(node, ast.BoolOp):
            *others, last = node.values
            for other in others:
                (further,) = self._new_blocks("further")
                targets = (further, no) if isinstance(node.op, ast.And) else (yes, further)
                self._test(other, *targets)
                self._builder.position_at_end(further)
            self._test(last, yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._test(node.operand, no, yes)
        else:
            value = constant(self.visit(node))
            if value.type != _CONDITION:
                value = self._builder.icmp_signed("!=", value, constant(0))
            self._builder.cbranch(value, yes, no)

    # --- variables ---

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Tuple):
            for element, part in zip(target.elts, value, strict=True):
                self._assign(element, part)
        elif isinstance(target, ast.Subscript):
            base, number = self.visit(target.value), self.visit(target.slice)
            place = self._builder.gep(base, [constant(number)])
            self._builder.store(constant(value, place.type.pointee), place)
        elif isinstance(target, ast.Name) and target.id not in self._parameters:
            if target.id not in self._variables:
                self._variables[target.id] = self._new_variable(value)
            self._store(self._variables[target.id], value)
        else:
            self.generic_visit(target)

    def _new_variable(self, value: Value) -> Any:
        """Return a variable for values of this type; for a tuple, a tuple of variables."""
        if isinstance(value, tuple):
            return tuple(self._new_variable(part) for part in value)
        with self._builder.goto_entry_block():
            return _Variable(self._builder.alloca(constant(value).type))

    def _store(self, variable: Any, value: Value) -> None:
        if isinstance(variable, _Variable):
            self._builder.store(constant(value, variable.place.type.pointee), variable.place)
            return
        for part, part_value in zip(variable, value, strict=True):
            self._store(part, part_value)

    def _load(self, variable: Any) -> Value:
        if isinstance(variable, _Variable):
            return self._builder.load(variable.place)
        return tuple(self._load(part) for part in variable)

    # --- expressions ---

    def visit_Constant(self, node: ast.Constant) -> Value:
        return int(node.value) if isinstance(node.value, bool) else node.value

    def visit_Name(self, node: ast.Name) -> Any:
        name = node.id
        if name in self._variables:
            return self._load(self._variables[name])
        for names in (self._parameters, self._outside, vars(builtins)):
            if name in names:
                return names[name]
        return self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> Value:
        return tuple(self.visit(element) for element in node.elts)

    def visit_Subscript(self, node: ast.Subscript) -> Value:
        base, number = self.visit(node.value), self.visit(node.slice)
        if isinstance(base, tuple):
            return base[number]
        return self._builder.load(self._builder.gep(base, [constant(number)]))

    def visit_Call(self, node: ast.Call) -> Value:
        self._require(not node.keywords, node)
        function = self.visit(node.func)
        return translate(self._lanes, function, *map(self.visit, node.args))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        self._require(isinstance(node.op, ast.USub), node)
        return self._binary(ast.Sub(), 0, self.visit(node.operand), node)

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        return self._binary(node.op, self.visit(node.left), self.visit(node.right), node)

    def _binary(self, kind: ast.operator, a: Value, b: Value, node: ast.AST) -> Value:
        self._require(type(kind) in _OPERATORS, node)
        of_constants, of_integers, of_floats = _OPERATORS[type(kind)]
        types = [value.type for value in (a, b) if not isinstance(value, int | float)]
        if not types:
            return of_constants(a, b)
        name = of_integers if types[0] == INTEGER else of_floats
        flags = ["nsw"] if name in ("add", "sub", "mul") else []
        emit = getattr(self._builder, name)
        return emit(constant(a, types[0]), constant(b, types[0]), flags=flags)

    def visit_Compare(self, node: ast.Compare) -> Value:
        """Compare two integers."""
        self._require(len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS, node)
        (kind,), (right,) = node.ops, node.comparators
        a, b = constant(self.visit(node.left)), constant(self.visit(right))
        return self._builder.icmp_signed(_COMPARISONS[type(kind)], a, b)

    def visit_IfExp(self, node: ast.IfExp) -> Value:
        yes, no, after = self._new_blocks("then", "else", "endif")
        self._test(node.test, yes, no)
        self._builder.position_at_end(yes)
        value = self.visit(node.body)
        variable = self._new_variable(value)
        self._store(variable, value)
        self._builder.branch(after)
        self._builder.position_at_end(no)
        self._store(variable, self.visit(node.orelse))
        self._builder.branch(after)
        self._builder.position_at_end(after)
        return self._load(variable)
