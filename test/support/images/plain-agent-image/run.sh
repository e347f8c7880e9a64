#!/bin/bash
case ${1-} in
  run) trap 'exit 1' TERM; sleep infinity & wait ;;
  state) echo 'Rancher State' ;;
  *) exit 1 ;;
esac
