#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/row_expression.h"
#include "movement/table_schema.h"
#include "shard/key_range.h"
#include "shard/vindex.h"
#include "vschema.pb.h"

// Which rows and columns of which tables a stream wants.
//
// A rule's filter is "" (everything), "exclude", a key range ("-80": of the primary vindex that the source's own
// vschema gives the table), or a select:
//     select * | item, ... from t [where term and term ...] [group by column, ...]
//     item: column [as alias] | count(*) [as alias] | sum(column) [as alias] | expression as alias (row_expression.h)
//     term: in_keyrange('-80') | in_keyrange(column, ..., 'vindex', '-80') | column <op> number | column in (numbers)
//           | column = 'text' | column <> 'text' | column in ('text', ...)
//           | column is [not] null
// where vindex is "keyspace.vindex", a vindex of the own keyspace, a type without parameters ("hash"), or a definition
// for sources that have no such vschema (vindex_definition()). Source: Vitess' filter rules ("Filter rules" in
// vitess-interfaces).
namespace vitrail::movement {

// A vindex as a filter names it for tablets of another cluster: {"params": {...}, "type": "..."}. Theirs may call
// another one by that name.
std::string vindex_definition(const ::vschema::Vindex& vindex);

struct KeyRangeTerm {
  std::vector<std::string> columns;  // Empty: those of the primary vindex.
  std::string vindex;                // Empty: the primary vindex.
  shard::KeyRange range;
};

struct ComparisonTerm {
  enum class Op : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIsNull, kIsNotNull };
  std::string column;
  Op op = Op::kEqual;
  std::vector<int64_t> numbers;  // More than one: IN, with kEqual or kNotEqual.
  // Instead of numbers, with kEqual or kNotEqual: compared byte for byte, whatever the column's collation says.
  std::vector<std::string> texts;
};
// The same condition for a server, where equal bytes are equal; not of a null test.
std::string comparison_sql(const ComparisonTerm& term);

// A rule, read.
struct RowQuery {
  bool exclude = false;
  enum class ItemKind : uint8_t { kColumn, kCount, kSum, kExpression };
  struct Item {
    std::string column;  // Empty for count(*) and expressions.
    std::string alias;
    ItemKind kind = ItemKind::kColumn;
    RowExpression expression = {};
  };
  std::vector<Item> items;  // Empty: all columns.
  // With count(*) and sum(): the columns that are selected as they are. Such a query is the target's business: from the
  // source come the rows that it adds up.
  std::vector<std::string> group_by;
  std::vector<KeyRangeTerm> ranges;
  std::vector<ComparisonTerm> comparisons;

  bool needs_vschema() const;
  bool is_aggregate() const { return !group_by.empty(); }
  // Likewise the target's business: from the source come the columns that they read.
  bool has_expressions() const;
};
// The select of a query that is not "exclude".
std::string to_select(const RowQuery& query, std::string_view table);

// Reads the filter of a rule for `table`. A select must be from that table unless `table` is empty, which then is set.
//   kInvalidArgument: not of the form above. kUnimplemented: a form of Vitess's that is not supported here.
Result<RowQuery> parse_row_query(std::string_view filter, std::string& table);

// The rules of a stream.
class Filter {
 public:
  // kInvalidArgument names the rule. `of_target`: the rules name tables of the target, their selects those of the
  // source.
  static Result<Filter> create(const ::binlogdata::Filter& rules, bool of_target = false);
  Filter(Filter&&) noexcept;
  Filter& operator=(Filter&&) noexcept;
  ~Filter();

  // The first rule that matches; nullptr when there is none or it says "exclude".
  const RowQuery* find(std::string_view table) const;
  // The filter text of that rule.
  std::string_view find_text(std::string_view table) const;
  bool needs_vschema() const;

 private:
  struct Rule;
  Filter();
  std::vector<Rule> rules_;
};

// Tables of the product's own that no stream carries: _vt_... of the garbage collection, and kin.
bool is_internal_table(std::string_view name);

// A query bound to a table's columns: decides about rows. Immutable.
class RowFilter {
 public:
  // `own_keyspace`: whose vschema a bare key range means. `vschema` may be null: then only vindexes given by type are
  // found.
  //   kNotFound: no such column, vindex, or table in the vschema.
  static Result<RowFilter> bind(const RowQuery& query, const TableSchema& table, std::string_view own_keyspace,
                                const ::vschema::SrvVSchema* vschema);

  // The columns of the result, as indexes into the table's, and their names.
  std::span<const size_t> output() const { return output_; }
  std::span<const std::string> output_names() const { return output_names_; }
  // Columns whose values matches() wants, in order.
  std::span<const size_t> inputs() const { return inputs_; }
  bool passes_all() const { return ranges_.empty() && comparisons_.empty(); }
  // When it is all that decides.
  std::optional<shard::KeyRange> key_range() const {
    if (ranges_.size() != 1 || !comparisons_.empty()) return std::nullopt;
    return ranges_.front().range;
  }
  // kFailedPrecondition: the row has no keyspace id, so that it would be in no shard at all.
  Result<bool> matches(std::span<const mysql::Cell> inputs) const;

 private:
  struct Range {
    std::shared_ptr<const shard::Vindex> vindex;
    std::vector<size_t> inputs;  // Into inputs_.
    shard::KeyRange range;
    shard::Vindex::IntegerFunction function;  // Set when it can be used: one integer column.
    bool is_unsigned = false;
    std::optional<shard::KeyspaceId> pinned;
  };
  struct Comparison {
    size_t input;
    ComparisonTerm::Op op;
    std::vector<int64_t> numbers;
    std::vector<std::string> texts;
  };
  size_t input(size_t column);
  Result<bool> passes(const Comparison& term, std::span<const mysql::Cell> inputs) const;
  Result<bool> in_range(const Range& range, std::span<const mysql::Cell> inputs) const;

  std::string table_;
  std::vector<size_t> output_;
  std::vector<std::string> output_names_;
  std::vector<size_t> inputs_;
  std::vector<bool> is_integer_;   // Of inputs_.
  std::vector<bool> is_unsigned_;  // Of inputs_.
  std::vector<Range> ranges_;
  std::vector<Comparison> comparisons_;
};

}  // namespace vitrail::movement
