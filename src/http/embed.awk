# SPDX-License-Identifier: Apache-2.0
# Write a text file as a C string: -v name=openapi_yaml -v header=http/api.h
BEGIN {
	printf "/* Made by embed.awk; do not edit. */\n"
	printf "#include \"config.h\"\n\n#include \"%s\"\n\nconst char %s[] =\n", header, name
}
/\\/ {
	print FILENAME ": a backslash is not expected here" >"/dev/stderr"
	exit 1
}
{
	gsub(/"/, "\\\"")
	printf "\t\"%s\\n\"\n", $0
}
END {
	print "\t;"
}
