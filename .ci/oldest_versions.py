"""Print the oldest dependencies that pyproject.toml allows, as requirements for pip."""

import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]

for requirement in project["dependencies"]:
    print(requirement.replace(">=", "=="))
for requirement in project["optional-dependencies"]["test"]:  # the newest patch of the oldest minor
    print(requirement.replace(">=", "==") + ".*" if ">=" in requirement else requirement)
