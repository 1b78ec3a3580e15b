#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/insert.h"

// LOAD DATA LOCAL INFILE into a sharded table: the file is cut into lines, and each line goes, as it is, to the shard
// where its row belongs. There a server reads it by the same rules.
namespace vitrail::plan {

// How lines and fields are told apart.
struct LoadFormat {
  std::string field_end = "\t";
  std::optional<char> enclosed;
  std::optional<char> escape = '\\';
  std::string line_end = "\n";
};

struct Load {
  std::string keyspace;
  std::string table;
  std::shared_ptr<const shard::Vindex> vindex;
  std::string file;  // As the client is asked for it.
  std::string text;  // For the shards: all lines are rows.
  LoadFormat format;
  uint64_t skipped_lines = 0;
  // `at`: the field's place in a line.
  std::vector<InsertRows::Key> key;
  std::string charset;     // Of the file; "" where the servers' setting decides.
  bool generates = false;  // NULL and 0 in the key's field ask for a value of a sequence.
};

// `text`: the statement as written. kUnimplemented: a form of it whose lines cannot be told apart here.
Result<std::shared_ptr<const Plan>> plan_load(const sql::LoadData& load, const PlanContext& context);

// Finds the ends of lines in a file that comes in pieces, and the fields that are asked for.
class LineCutter {
 public:
  LineCutter(const LoadFormat& format, std::vector<size_t> fields);

  struct Line {
    std::string_view bytes;                          // With its end. Valid until the next add().
    std::vector<std::optional<std::string>> fields;  // Those asked for; nullopt: NULL.
    bool complete = true;                            // Has all fields asked for.
  };
  void add(std::string_view piece);
  // The next line whose end is there. With `last`, the rest of the file too.
  std::optional<Line> next(bool last);
  size_t held() const { return buffer_.size() - begin_; }

 private:
  // The end of the line that begins at begin_, fields noted; npos: it is not there yet.
  size_t scan(bool last, Line& line) const;

  LoadFormat format_;
  std::vector<size_t> fields_;
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace vitrail::plan
