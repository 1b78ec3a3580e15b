#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "gate/change_outcome.h"
#include "gate/load_counts.h"
#include "gate/session.h"

namespace vitrail::vschema {
struct LookupUse;
}

namespace vitrail::gate {

// A statement, or a part of one, that changes rows and their lookup rows.
struct ClientSession::LookupStatement {
  std::vector<ShardText> texts;
  // INSERT: its rows, and for each row the keys of its lookup rows.
  const plan::ShardedInsert* insert = nullptr;
  std::vector<InsertedRow> rows;
  std::vector<std::vector<LookupKey>> keys;
  plan::ShardedInsert::Conflict conflict = plan::ShardedInsert::Conflict::kError;
  uint64_t first_place = 0;  // Of the rows in the client's statement.
  // UPDATE and DELETE: which rows change.
  const plan::LookupChange* change = nullptr;
  std::string changed_text;
  std::vector<LookupKey> written;  // Of UPDATE.
  // LOAD DATA: the rows' texts are lines of the file. What its servers told of them.
  const plan::Load* load = nullptr;
  LoadCounts loaded;

  ChangeOutcome out;
};

// Whether a lookup row is to be written; an error where a NULL is not wanted.
Result<bool> is_written(const vschema::LookupUse& use, const std::vector<mysql::Value>& values);

}  // namespace vitrail::gate
