#include "mysql/definitions.h"

#include <gtest/gtest.h>

#include "mysql/messages.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

const SchemaRename kRename{"vt_shop", "shop"};

ColumnDef column(std::string schema, std::string name) {
  ColumnDef out;
  out.schema = std::move(schema);
  out.table = out.org_table = "item";
  out.name = out.org_name = std::move(name);
  return out;
}

std::string frames_of(const std::vector<ColumnDef>& columns, uint8_t first, bool count, std::string_view behind) {
  std::string out;
  PacketWriter writer(out, first);
  if (count) {
    append_lenenc_int(writer.begin(), columns.size());
    writer.end();
  }
  for (const auto& one : columns) {
    encode_column(writer.begin(), one, 0);
    writer.end();
  }
  if (!behind.empty()) writer.message(behind);
  return out;
}

std::vector<ColumnDef> columns_with(std::string_view known) {
  return {column(std::string(known), "id"), column("", "1 + 1"), column("mysql", "vt_shop"),
          column(std::string(known), "name")};
}

TEST(Definitions, TheSchemaIsRenamedAndNothingElse) {
  const std::string row =
      "\x01"
      "1\x07"
      "vt_shop";
  const std::string before = frames_of(columns_with("vt_shop"), 1, true, row);
  const RenamedResult got = rename_result(before, kRename);
  ASSERT_TRUE(got.complete);
  ASSERT_TRUE(got.changed.has_value());
  EXPECT_EQ(*got.changed + before.substr(got.size), frames_of(columns_with("shop"), 1, true, row));

  const SchemaRename longer{"shop", "a_keyspace_with_a_longer_name"};
  const std::string other = frames_of(columns_with("shop"), 1, true, row);
  const RenamedResult grown = rename_result(other, longer);
  ASSERT_TRUE(grown.changed.has_value());
  EXPECT_EQ(*grown.changed + other.substr(grown.size), frames_of(columns_with(longer.to), 1, true, row));
}

TEST(Definitions, WaitsForAllOfThem) {
  const std::string whole = frames_of(columns_with("vt_shop"), 1, true, "");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(rename_result(std::string_view(whole).substr(0, size), kRename).complete) << size;
  }
  EXPECT_TRUE(rename_result(whole, kRename).complete);
}

TEST(Definitions, LeavesAloneWhatIsNoResultSetOrHasOtherSchemas) {
  const auto unchanged = [](const std::string& framed) {
    const RenamedResult got = rename_result(framed, kRename);
    return got.complete && !got.changed;
  };
  std::string ok;
  PacketWriter(ok, 1).message(std::string_view("\0\1\2\0\0\0\0", 7));
  EXPECT_TRUE(unchanged(ok));
  std::string err;
  PacketWriter(err, 1).message("\xff\x48\x04#HY000vt_shop");
  EXPECT_TRUE(unchanged(err));
  EXPECT_TRUE(unchanged(frames_of(columns_with("other"), 1, true, "")));
  // An error in the place of the second definition: nobody waits for more.
  std::string broken = frames_of({column("vt_shop", "id")}, 1, true, "\xff\x48\x04#HY000gone");
  broken[kPacketHeaderSize] = 2;
  EXPECT_TRUE(unchanged(broken));
}

TEST(Definitions, OfPreparedStatements) {
  const std::string before = frames_of(columns_with("vt_shop"), 2, false, std::string_view("\xfe\0\0\2\0", 5));
  EXPECT_EQ(rename_definitions(before, kRename),
            frames_of(columns_with("shop"), 2, false, std::string_view("\xfe\0\0\2\0", 5)));
  EXPECT_EQ(rename_definitions("", kRename), "");
}

}  // namespace
}  // namespace vitrail::mysql
