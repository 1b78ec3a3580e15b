#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/filter.h"

// The rules of a stream seen from both ends. A rule names a table of the target, and its select one of the source: the
// same, unless the rows become a table of another name. The source is asked for its own tables, and for the columns of
// which a sum is made.
namespace vitrail::movement {

struct TablePlan {
  std::string target;
  std::string source;
  RowQuery query;
  std::vector<std::string> source_key;  // Of a query that adds up: the columns that tell the source's rows apart.
};

// As which column of the source's rows an expression finds the column that it reads.
std::string input_name(const RowQuery& query, std::string_view column);

class StreamPlan {
 public:
  // kInvalidArgument names the rule.
  static Result<StreamPlan> create(const ::binlogdata::Filter& rules);

  // What the source gets.
  const ::binlogdata::Filter& source_filter() const { return source_filter_; }
  // Which table of the target the source's becomes.
  std::string target_of(std::string_view source) const;
  std::string source_of(std::string_view target) const;
  // nullptr: the table comes as it is, by a rule that names no select.
  const TablePlan* find(std::string_view target) const;
  // The select for a table of the target by itself, or "" when no rule names it.
  std::string source_query(std::string_view target) const;

 private:
  ::binlogdata::Filter source_filter_;
  std::map<std::string, TablePlan, std::less<>> by_target_;
  std::map<std::string, std::string, std::less<>> target_of_;
};

}  // namespace vitrail::movement
