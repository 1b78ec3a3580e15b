// Lines of a file, as LOAD DATA tells them apart.
#include "plan/load.h"

#include <gtest/gtest.h>

namespace vitrail::plan {
namespace {

// "line[field,field]" for each, whatever the pieces that the file comes in.
std::string cut(const LoadFormat& format, std::string_view file, size_t piece) {
  LineCutter cutter(format, {0, 2});
  std::string out;
  for (size_t at = 0;; at += piece) {
    const bool last = at >= file.size();
    if (!last) cutter.add(file.substr(at, piece));
    while (auto line = cutter.next(last)) {
      out += std::string(line->bytes) + "[" + line->fields[0].value_or("NULL") + "," +
             line->fields[1].value_or("NULL") + "]";
      if (!line->complete) out += "?";
    }
    if (last) return out;
  }
}

TEST(LineCutter, FindsLinesAndFieldsWhateverThePieces) {
  LoadFormat plain;
  LoadFormat csv;
  csv.field_end = ",";
  csv.enclosed = '"';
  csv.line_end = "\r\n";
  LoadFormat odd;
  odd.field_end = "||";
  odd.line_end = "END";
  odd.escape = std::nullopt;
  struct Case {
    const LoadFormat& format;
    const char* file;
    const char* lines;
  };
  for (const Case& item : std::initializer_list<Case>{
           {plain, "1\ta\tx\n2\tb\ty\n", "1\ta\tx\n[1,x]2\tb\ty\n[2,y]"},
           {plain, "1\ta\tx", "1\ta\tx[1,x]"},
           {plain, "1\ta\n", "1\ta\n[1,NULL]?"},
           {plain, "\\N\ta\\\tb\tx\\\ny\n", "\\N\ta\\\tb\tx\\\ny\n[NULL,x\ny]"},
           {plain, "\\t\ta\t\\\\\n", "\\t\ta\t\\\\\n[\t,\\]"},
           {csv, "\"1\",a,\"x\r\ny\"\r\n2,b,z\r\n", "\"1\",a,\"x\r\ny\"\r\n[1,x\r\ny]2,b,z\r\n[2,z]"},
           {csv, "\"a\"\"b\",c,\"d\"e\"\r\n", "\"a\"\"b\",c,\"d\"e\"\r\n[a\"b,d\"e]"},
           {csv, "NULL,\"NULL\",\"NULL\"\r\n", "NULL,\"NULL\",\"NULL\"\r\n[NULL,NULL]"},
           {odd, "1||\\||xEND2||b||yEND", "1||\\||xEND[1,x]2||b||yEND[2,y]"},
       }) {
    for (const size_t piece : {1, 2, 3, 7, 1000}) {
      EXPECT_EQ(cut(item.format, item.file, piece), item.lines) << item.file << " in pieces of " << piece;
    }
  }
}

}  // namespace
}  // namespace vitrail::plan
