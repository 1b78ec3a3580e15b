#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sql/lexer.h"
#include "sql/statement_kind.h"

// The tree of a parsed statement: expressions, query expressions and table references here, statements in statement.h.
//
//   Memory  : nodes and lists live in the arena of one Ast (parser.h) and die with it; all are trivially destructible.
//             Texts point into the Ast's copy of the statement or into its arena.
//   Shape   : plain structs with a kind tag; `as<Column>(expr)` is the checked cast. Pointers are non-null unless a
//             comment says "may be null". Lists are spans over the arena; elements may be replaced in place.
//   Places  : `span` is the range of the statement text a node was read from, without surrounding blanks and without
//             redundant parentheses around it. Nodes made by a rewriter have an empty span.
//   Depth   : bounded by ParseOptions::max_depth, so recursive visitors need no guard of their own.
namespace vitrail::sql {

template <typename T>
using List = std::span<T>;

struct Span {
  uint32_t offset = 0;
  uint32_t length = 0;
  uint32_t end() const { return offset + length; }
  bool empty() const { return length == 0; }
  std::string_view of(std::string_view statement) const { return statement.substr(offset, length); }
};

// A name with its quotes taken off. `span` covers the quotes.
struct Identifier {
  std::string_view text;
  Span span;
  bool quoted = false;
  bool empty() const { return text.empty(); }
};

// [qualifier.]name of a table, view, sequence or routine. The qualifier is a database, keyspace or target
// ("ks:-80@replica").
struct TableName {
  Identifier qualifier;  // May be empty.
  Identifier name;
  Span span;
};

struct Query;
struct WindowSpec;
struct Limit;

// ---- Expressions ----------------------------------------------------------------------------------------------------

enum class ExprKind : uint8_t {
  kLiteral,
  kParameter,
  kBindVariable,
  kColumn,
  kStar,
  kUserVariable,
  kSystemVariable,
  kKeyword,
  kUnary,
  kBinary,
  kLogical,
  kIs,
  kLike,
  kBetween,
  kIn,
  kCase,
  kCast,
  kConvertUsing,
  kCollate,
  kInterval,
  kFunctionCall,
  kMatch,
  kDefaultValue,
  kValuesFunction,
  kNextValue,
  kSubquery,
  kExists,
  kRow,
};

struct Expr {
  ExprKind kind;
  uint16_t depth = 1;  // Longest way down to a leaf.
  Span span;
};

// Checked casts: nullptr when the node is of another kind (or is null).
template <typename T, typename Base>
T* as(Base* node) {
  return node != nullptr && node->kind == T::kKind ? static_cast<T*>(node) : nullptr;
}
template <typename T, typename Base>
const T* as(const Base* node) {
  return node != nullptr && node->kind == T::kKind ? static_cast<const T*>(node) : nullptr;
}

enum class LiteralKind : uint8_t {
  kInteger,
  kDecimal,
  kFloat,
  kHex,
  kBit,
  kString,
  kNationalString,
  kDate,
  kTime,
  kTimestamp,  // DATE '2020-01-01': `text` is the string.
  kNull,
  kTrue,
  kFalse,
};

struct Literal : Expr {
  static constexpr ExprKind kKind = ExprKind::kLiteral;
  static constexpr uint32_t kNoIndex = 0xffffffffu;
  LiteralKind literal = LiteralKind::kNull;
  uint32_t index = kNoIndex;    // Ordinal among the literal tokens of the statement; kNoIndex for NULL, TRUE, FALSE
                                // and literals that were not written.
  std::string_view text;        // The token as written, with quotes and prefix; see literal.h for its value.
  std::string_view charset;     // Introducer without the underscore; may be empty.
  List<std::string_view> more;  // 'a' 'b': the strings after the first, as written.
  uint32_t parts() const { return static_cast<uint32_t>(1 + more.size()); }
};

// '?'
struct Parameter : Expr {
  static constexpr ExprKind kKind = ExprKind::kParameter;
  uint32_t index = 0;  // Counted from 0 in the order of the text.
};

// :name, or ::name for a list (only as the right side of IN).
struct BindVariable : Expr {
  static constexpr ExprKind kKind = ExprKind::kBindVariable;
  bool list = false;
  std::string_view name;  // Without colons.
};

// [[schema.]table.]name
struct Column : Expr {
  static constexpr ExprKind kKind = ExprKind::kColumn;
  Identifier schema;  // May be empty.
  Identifier table;   // May be empty.
  Identifier name;
};

// [[schema.]table.]* as a select item, or * in COUNT(*).
struct Star : Expr {
  static constexpr ExprKind kKind = ExprKind::kStar;
  Identifier schema;
  Identifier table;
};

struct UserVariable : Expr {
  static constexpr ExprKind kKind = ExprKind::kUserVariable;
  std::string_view name;  // Without @ and quotes; case-insensitive.
};

enum class VariableScope : uint8_t { kNone, kSession, kGlobal, kLocal, kPersist, kPersistOnly };

// @@[scope.][base.]name
struct SystemVariable : Expr {
  static constexpr ExprKind kKind = ExprKind::kSystemVariable;
  VariableScope scope = VariableScope::kNone;
  Identifier base;  // Structured variables and vitess_metadata.<key>; may be empty.
  Identifier name;
};

// A word that is not a name: units and formats as function arguments, ON / ALL / BINARY as values in SET. Lower case.
struct KeywordExpr : Expr {
  static constexpr ExprKind kKind = ExprKind::kKeyword;
  std::string_view word;
};

enum class UnaryOp : uint8_t { kNot, kBang, kMinus, kPlus, kBitNot, kBinary };

struct Unary : Expr {
  static constexpr ExprKind kKind = ExprKind::kUnary;
  UnaryOp op = UnaryOp::kNot;
  Expr* operand = nullptr;
};

enum class BinaryOp : uint8_t {
  kAssign,  // @a := 1; the left side is a UserVariable.
  kXor,
  kEqual,
  kNullSafeEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kRegexp,
  kNotRegexp,
  kSoundsLike,
  kMemberOf,
  kBitOr,
  kBitAnd,
  kShiftLeft,
  kShiftRight,
  kPlus,
  kMinus,
  kMultiply,
  kDivide,
  kIntDivide,
  kModulo,
  kBitXor,
  kConcat,       // || under PIPES_AS_CONCAT
  kJsonExtract,  // ->
  kJsonUnquote,  // ->>
};

constexpr bool is_comparison(BinaryOp op) { return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterEqual; }

enum class Quantifier : uint8_t { kNone, kAny, kAll };  // SOME is kAny.

struct Binary : Expr {
  static constexpr ExprKind kKind = ExprKind::kBinary;
  BinaryOp op = BinaryOp::kEqual;
  Quantifier quantifier = Quantifier::kNone;  // Not kNone: `op` is a comparison and `right` a Subquery.
  Expr* left = nullptr;
  Expr* right = nullptr;
};

enum class LogicalOp : uint8_t { kAnd, kOr };

// AND / OR over two or more operands; chains are one node (a AND b AND c has three operands).
struct Logical : Expr {
  static constexpr ExprKind kKind = ExprKind::kLogical;
  LogicalOp op = LogicalOp::kAnd;
  List<Expr*> operands;
};

enum class IsTest : uint8_t { kNull, kTrue, kFalse, kUnknown };

struct Is : Expr {
  static constexpr ExprKind kKind = ExprKind::kIs;
  IsTest test = IsTest::kNull;
  bool negated = false;
  Expr* operand = nullptr;
};

struct Like : Expr {
  static constexpr ExprKind kKind = ExprKind::kLike;
  bool negated = false;
  Expr* left = nullptr;
  Expr* pattern = nullptr;
  Expr* escape = nullptr;  // May be null.
};

struct Between : Expr {
  static constexpr ExprKind kKind = ExprKind::kBetween;
  bool negated = false;
  Expr* operand = nullptr;
  Expr* low = nullptr;
  Expr* high = nullptr;
};

struct In : Expr {
  static constexpr ExprKind kKind = ExprKind::kIn;
  bool negated = false;
  Expr* left = nullptr;
  List<Expr*> values;      // Empty when `query` is set. `IN ::list` is one BindVariable with list = true.
  Query* query = nullptr;  // May be null.
};

struct When {
  Expr* condition = nullptr;
  Expr* result = nullptr;
};

struct Case : Expr {
  static constexpr ExprKind kKind = ExprKind::kCase;
  Expr* operand = nullptr;  // May be null.
  List<When> whens;
  Expr* otherwise = nullptr;  // May be null.
};

// Target of CAST and CONVERT.
struct CastType {
  std::string_view name;       // Lower case: "char", "signed", "unsigned", "decimal", "nchar", "double" ...
  std::string_view length;     // Digits as written; may be empty.
  std::string_view scale;      // Digits as written; may be empty.
  std::string_view attribute;  // CHAR only, lower case: "", "binary", "ascii", "unicode", "byte".
  Identifier charset;          // CHAR(10) CHARACTER SET x; may be empty.
  bool array = false;
};

struct Cast : Expr {
  static constexpr ExprKind kKind = ExprKind::kCast;
  bool convert = false;  // Written CONVERT(x, type).
  Expr* operand = nullptr;
  Expr* time_zone = nullptr;  // CAST(x AT TIME ZONE 'z' AS type); may be null.
  CastType type;
};

// CONVERT(x USING charset)
struct ConvertUsing : Expr {
  static constexpr ExprKind kKind = ExprKind::kConvertUsing;
  Expr* operand = nullptr;
  Identifier charset;
};

struct Collate : Expr {
  static constexpr ExprKind kKind = ExprKind::kCollate;
  Expr* operand = nullptr;
  Identifier collation;
};

// INTERVAL value unit: an operand of + and - (kPlus / kMinus), or an argument of date functions.
struct Interval : Expr {
  static constexpr ExprKind kKind = ExprKind::kInterval;
  Expr* value = nullptr;
  std::string_view unit;  // Lower case: "day", "minute_second" ...
};

enum class Direction : uint8_t { kNone, kAsc, kDesc };

struct OrderItem {
  Expr* expr = nullptr;
  Direction direction = Direction::kNone;
};

enum class FunctionSyntax : uint8_t {
  kCall,      // name(args)
  kNoParens,  // CURRENT_TIMESTAMP and the like without parentheses.
  kTrim,      // TRIM([word] [args[0]] FROM args.back()); `word` is "", "leading", "trailing" or "both".
  kExtract,   // EXTRACT(word FROM args[0])
  kPosition,  // POSITION(args[0] IN args[1])
};

// Functions, aggregates and window functions, built in or not. SUBSTRING(a FROM b FOR c) is read as SUBSTRING(a, b, c).
struct FunctionCall : Expr {
  static constexpr ExprKind kKind = ExprKind::kFunctionCall;
  FunctionSyntax syntax = FunctionSyntax::kCall;
  bool distinct = false;      // COUNT(DISTINCT ..) and the like.
  bool ignore_nulls = false;  // LAG(..) IGNORE NULLS
  bool respect_nulls = false;
  bool from_last = false;  // NTH_VALUE(..) FROM LAST
  Identifier schema;       // May be empty.
  Identifier name;         // As written.
  std::string_view word;   // See FunctionSyntax. "within group" with kCall: MariaDB's PERCENTILE_CONT(..) WITHIN
                           // GROUP (ORDER BY ..).
  List<Expr*> args;
  List<OrderItem> order_by;    // GROUP_CONCAT, JSON_ARRAYAGG
  Expr* separator = nullptr;   // GROUP_CONCAT; a string literal; may be null.
  Limit* limit = nullptr;      // GROUP_CONCAT in MariaDB; may be null.
  std::string_view tail;       // Text kept as written before ')': CHAR(65 USING utf8mb4), JSON_VALUE(.. RETURNING ..).
  WindowSpec* over = nullptr;  // May be null.
};

enum class MatchMode : uint8_t {
  kNone,
  kNaturalLanguage,
  kNaturalLanguageExpansion,
  kBoolean,
  kExpansion,
};

struct Match : Expr {
  static constexpr ExprKind kKind = ExprKind::kMatch;
  MatchMode mode = MatchMode::kNone;
  List<Expr*> columns;
  Expr* against = nullptr;
};

// DEFAULT as a value, or DEFAULT(column).
struct DefaultValue : Expr {
  static constexpr ExprKind kKind = ExprKind::kDefaultValue;
  Expr* column = nullptr;  // May be null.
};

// VALUES(column) in ON DUPLICATE KEY UPDATE (also written VALUE(column)).
struct ValuesFunction : Expr {
  static constexpr ExprKind kKind = ExprKind::kValuesFunction;
  Expr* column = nullptr;
};

// MariaDB: NEXT VALUE FOR seq, PREVIOUS VALUE FOR seq.
struct NextValue : Expr {
  static constexpr ExprKind kKind = ExprKind::kNextValue;
  bool previous = false;
  TableName sequence;
};

struct Subquery : Expr {
  static constexpr ExprKind kKind = ExprKind::kSubquery;
  Query* query = nullptr;
};

struct Exists : Expr {
  static constexpr ExprKind kKind = ExprKind::kExists;
  Query* query = nullptr;
};

// (a, b) with two or more items, or ROW(a, b).
struct Row : Expr {
  static constexpr ExprKind kKind = ExprKind::kRow;
  bool keyword = false;
  List<Expr*> items;
};

// ---- Windows --------------------------------------------------------------------------------------------------------

enum class FrameUnit : uint8_t { kNone, kRows, kRange, kGroups };
enum class FrameBoundKind : uint8_t { kUnboundedPreceding, kPreceding, kCurrentRow, kFollowing, kUnboundedFollowing };

struct FrameBound {
  FrameBoundKind kind = FrameBoundKind::kCurrentRow;
  Expr* value = nullptr;  // For kPreceding and kFollowing.
};

// OVER name, or OVER ([name] [PARTITION BY ..] [ORDER BY ..] [frame]).
struct WindowSpec {
  bool name_only = false;
  Identifier name;  // May be empty.
  List<Expr*> partition_by;
  List<OrderItem> order_by;
  FrameUnit unit = FrameUnit::kNone;
  bool between = false;  // ROWS start AND end; otherwise only `start` counts.
  FrameBound start;
  FrameBound end;
  std::string_view exclude;  // "current row", "group", "ties", "no others"; may be empty.
};

struct NamedWindow {
  Identifier name;
  WindowSpec* window = nullptr;
};

// ---- Query expressions ----------------------------------------------------------------------------------------------

struct CommonTable {
  Identifier name;
  List<Identifier> columns;  // May be empty.
  Query* query = nullptr;
};

struct With {
  bool recursive = false;
  List<CommonTable> tables;
  Span span;
};

// LIMIT [offset,] count. MariaDB's ROWS EXAMINED; FETCH FIRST n ROWS ONLY is read as LIMIT, WITH TIES is kept.
struct Limit {
  Expr* offset = nullptr;         // May be null.
  Expr* count = nullptr;          // May be null (only ROWS EXAMINED, or only OFFSET n ROWS).
  Expr* rows_examined = nullptr;  // May be null.
  bool with_ties = false;
  Span span;
};

enum class LockStrength : uint8_t { kForUpdate, kForShare, kLockInShareMode };
enum class LockWait : uint8_t { kDefault, kNowait, kSkipLocked, kSeconds };

struct LockClause {
  LockStrength strength = LockStrength::kForUpdate;
  LockWait wait = LockWait::kDefault;
  Expr* seconds = nullptr;  // FOR UPDATE WAIT n; may be null.
  List<TableName> of;       // May be empty.
  Span span;
};

enum class IntoKind : uint8_t { kVariables, kOutfile, kDumpfile, kOutfileS3 };

struct Into {
  IntoKind kind = IntoKind::kVariables;
  List<Expr*> variables;     // UserVariable, or Column for a local variable of a stored program.
  Expr* file = nullptr;      // A string literal, for the other kinds.
  std::string_view options;  // Everything after the file name, as written.
  Span span;
};

enum class QueryKind : uint8_t { kSelect, kSetOperation, kValues, kTable, kParenthesized };

// What every query expression may carry around its body.
struct Query {
  QueryKind kind;
  uint16_t depth = 1;
  Span span;
  With* with = nullptr;  // May be null.
  List<OrderItem> order_by;
  Limit* limit = nullptr;  // May be null.
  List<LockClause> locks;
  Into* into = nullptr;  // May be null.
};

struct SelectItem {
  Expr* expr = nullptr;
  Identifier alias;  // May be empty: then the server names the column after the text of `expr_span` (or the column).
  Span expr_span;    // Of the expression with parentheses around it.
  Span span;         // With the alias.
};

enum class IndexHintKind : uint8_t { kUse, kIgnore, kForce };
enum class IndexHintScope : uint8_t { kNone, kJoin, kOrderBy, kGroupBy };

// USE INDEX (a, b), or Vitess' USE VINDEX (a, b).
struct IndexHint {
  IndexHintKind kind = IndexHintKind::kUse;
  IndexHintScope scope = IndexHintScope::kNone;
  bool vindex = false;
  List<Identifier> names;  // "PRIMARY" included; may be empty.
  Span span;
};

enum class TableRefKind : uint8_t { kTable, kDerived, kJoin, kList, kJsonTable };

struct TableRef {
  TableRefKind kind;
  uint16_t depth = 1;
  Span span;
};

struct TableSource : TableRef {
  static constexpr TableRefKind kKind = TableRefKind::kTable;
  TableName name;
  Identifier alias;             // May be empty.
  List<Identifier> partitions;  // PARTITION (p0, p1)
  List<IndexHint> hints;
  std::string_view system_time;  // MariaDB: "FOR SYSTEM_TIME AS OF ..." as written; may be empty.
};

struct DerivedTable : TableRef {
  static constexpr TableRefKind kKind = TableRefKind::kDerived;
  bool lateral = false;
  Query* query = nullptr;
  Identifier alias;          // May be empty.
  List<Identifier> columns;  // AS t(a, b)
};

enum class JoinType : uint8_t {
  kInner,  // JOIN, INNER JOIN, CROSS JOIN: the same in MySQL.
  kStraight,
  kLeft,
  kRight,
  kNatural,
  kNaturalLeft,
  kNaturalRight,
};

struct Join : TableRef {
  static constexpr TableRefKind kKind = TableRefKind::kJoin;
  JoinType type = JoinType::kInner;
  TableRef* left = nullptr;
  TableRef* right = nullptr;
  Expr* on = nullptr;        // May be null.
  List<Identifier> columns;  // USING (a, b)
};

// (a, b): a comma list in parentheses. `(a)` and `(a JOIN b)` are just what stands inside.
struct TableList : TableRef {
  static constexpr TableRefKind kKind = TableRefKind::kList;
  List<TableRef*> items;
};

struct JsonTable : TableRef {
  static constexpr TableRefKind kKind = TableRefKind::kJsonTable;
  Expr* document = nullptr;
  Expr* path = nullptr;
  std::string_view columns;  // From COLUMNS to its closing parenthesis, as written.
  Identifier alias;
};

struct Select : Query {
  static constexpr QueryKind kKind = QueryKind::kSelect;
  List<std::string_view> hints;  // /*+ ... */ as written.
  bool distinct = false;
  bool high_priority = false;
  bool straight_join = false;
  bool small_result = false;
  bool big_result = false;
  bool buffer_result = false;
  bool cache = false;
  bool no_cache = false;
  bool calc_found_rows = false;
  bool rollup = false;          // GROUP BY .. WITH ROLLUP
  Expr* next_values = nullptr;  // Vitess: SELECT NEXT n VALUES FROM seq; `items` is empty then. May be null.
  List<SelectItem> items;
  List<TableRef*> from;   // Empty without FROM. FROM DUAL is a table named dual.
  Expr* where = nullptr;  // May be null.
  List<OrderItem> group_by;
  Expr* having = nullptr;  // May be null.
  List<NamedWindow> windows;
};

enum class SetOperator : uint8_t { kUnion, kExcept, kIntersect };

struct SetOperation : Query {
  static constexpr QueryKind kKind = QueryKind::kSetOperation;
  SetOperator op = SetOperator::kUnion;
  bool all = false;
  bool distinct = false;  // DISTINCT was written; it is the default anyway.
  Query* left = nullptr;
  Query* right = nullptr;
};

// VALUES ROW(1, 2), ROW(3, 4), or MariaDB's VALUES (1, 2), (3, 4).
struct ValuesQuery : Query {
  static constexpr QueryKind kKind = QueryKind::kValues;
  bool row_keyword = false;
  List<List<Expr*>> rows;
};

// TABLE t
struct TableQuery : Query {
  static constexpr QueryKind kKind = QueryKind::kTable;
  TableName name;
};

// (query) whose own tail (WITH, ORDER BY, LIMIT ...) must be kept apart from the tail of this one.
struct ParenthesizedQuery : Query {
  static constexpr QueryKind kKind = QueryKind::kParenthesized;
  Query* inner = nullptr;
};

// True for the aggregate functions of MySQL and MariaDB by name (COUNT, SUM, GROUP_CONCAT, BIT_AND, STDDEV ...), used
// without OVER.
bool is_aggregate(const FunctionCall& call);

}  // namespace vitrail::sql
