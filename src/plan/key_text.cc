#include "plan/key_text.h"

#include <set>
#include <string_view>

namespace vitrail::plan {

bool is_printed_as_compared(const schema::Column& column) {
  static const std::set<std::string_view> kTypes = {"decimal", "date", "datetime", "timestamp", "time", "year"};
  return schema::is_whole(column) || kTypes.contains(column.data_type);
}

std::vector<std::string> key_texts(const std::string& expr, KeyForm form, bool printed) {
  if (form == KeyForm::kNumber) return {"cast(" + expr + " as unsigned)"};
  if (form == KeyForm::kDouble) return {"(" + expr + ") * 1e0"};
  if (printed) return {expr};
  // The weight of one blank, if two of them are twice that; nothing where blanks at the end count. A text made of
  // several collations can be ordered, but it and its weights cannot be compared: names and digits can.
  const auto blank = [&](const char* what) { return "weight_string(concat(left(" + expr + ", 0), '" + what + "'))"; };
  const std::string one = blank(" ");
  return {expr, "weight_string(" + expr + ")",
          "if(collation(left(" + expr + ", 0)) regexp 'nopad|0900|^binary$', '', if(hex(" + blank("  ") +
              ") = concat(hex(" + one + "), hex(" + one + ")), " + one + ", null))"};
}

}  // namespace vitrail::plan
