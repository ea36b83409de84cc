// SPDX-License-Identifier: BSL-1.0
#include "npy.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

std::vector<char> file_of(std::string const& header, std::size_t payload) {
  std::vector<char> file{'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
  file.push_back(static_cast<char>(header.size()));
  file.push_back(0);
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), payload, '\1');
  return file;
}

TEST(Npy, ReadsTheFourTypes) {
  auto const array =
      parse_npy(file_of("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }\n", 24));
  ASSERT_TRUE(array.ok()) << array.error;
  EXPECT_TRUE(array.has_shape({2, 3}));
  EXPECT_EQ(array.values<std::int32_t>(), std::vector<std::int32_t>(6, 0x01010101));
  EXPECT_TRUE(array.values<float>().empty());
  for (char const* type : {"<f4", "|i1", "|u1"}) {
    std::string const header =
        std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (4,), }";
    EXPECT_TRUE(parse_npy(file_of(header, type[1] == 'f' ? 16 : 4)).ok()) << type;
  }
  EXPECT_TRUE(
      parse_npy(file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4)).ok());
}

TEST(Npy, RefusesWhatIsMalformed) {
  auto const good = file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8);
  ASSERT_TRUE(parse_npy(good).ok());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_npy({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}).ok());
  }
  auto version = good;
  version[6] = 2;
  EXPECT_FALSE(parse_npy(version).ok());
  for (char const* header : {
           "",
           "{",
           "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
           "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
           "{'descr': '<f",
           "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }",
           "{'descr': '<f4', 'shape': (2,), }",
           "{'descr': '<f4', 'fortran_order': False, }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2,",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (x,), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
       }) {
    auto const array = parse_npy(file_of(header, 8));
    EXPECT_FALSE(array.ok()) << header;
    EXPECT_TRUE(array.bytes.empty());
  }
  EXPECT_FALSE(read_npy("no such file").ok());
}

}  // namespace
}  // namespace oriel::test
