#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"
#include "schema/schema.h"

// What shards are asked for where rows are compared by a value: see Merge::Key.
namespace vitrail::plan {

// Whether values of such a column are compared by what is printed of them: numbers, dates and times.
bool is_printed_as_compared(const schema::Column& column);

// The value of an expression in its form; and, where that is not `printed` as it is compared, and has no form of its
// own, its weight_string() and that of a blank.
std::vector<std::string> key_texts(const std::string& expr, KeyForm form, bool printed);

}  // namespace vitrail::plan
