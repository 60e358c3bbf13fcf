"""Names of AWS's own policies that stacks look for; there are a thousand more, and each is found by its ARN.

Source: AWS managed policy reference.
"""

from __future__ import annotations

_PREFIX = "arn:aws:iam::aws:policy/"

_NAMES = (
    """
    AdministratorAccess PowerUserAccess ReadOnlyAccess AWSDenyAll SecurityAudit IAMFullAccess IAMReadOnlyAccess
    IAMUserChangePassword IAMUserSSHKeys AmazonEC2FullAccess AmazonEC2ReadOnlyAccess AmazonVPCFullAccess
    AmazonVPCReadOnlyAccess AmazonS3FullAccess AmazonS3ReadOnlyAccess AmazonDynamoDBFullAccess
    AmazonDynamoDBReadOnlyAccess AmazonRDSFullAccess AmazonRDSReadOnlyAccess AmazonSNSFullAccess
    AmazonSNSReadOnlyAccess AmazonSQSFullAccess AmazonSQSReadOnlyAccess AmazonSSMFullAccess AmazonSSMReadOnlyAccess
    AmazonSSMManagedInstanceCore AmazonSSMPatchAssociation AmazonSSMDirectoryServiceAccess
    AmazonEC2ContainerRegistryFullAccess AmazonEC2ContainerRegistryPowerUser AmazonEC2ContainerRegistryReadOnly
    AmazonEC2ContainerRegistryPullOnly AmazonECS_FullAccess AmazonEKSClusterPolicy AmazonEKSServicePolicy
    AmazonEKSVPCResourceController AmazonEKSWorkerNodePolicy AmazonEKS_CNI_Policy AmazonRoute53FullAccess
    AmazonRoute53ReadOnlyAccess AmazonElasticFileSystemFullAccess AmazonElasticFileSystemClientReadWriteAccess
    AmazonElastiCacheFullAccess AmazonAPIGatewayAdministrator AmazonAPIGatewayInvokeFullAccess
    AmazonKinesisFullAccess AmazonSESFullAccess AmazonCognitoPowerUser AutoScalingFullAccess
    AutoScalingReadOnlyAccess AutoScalingConsoleFullAccess AutoScalingConsoleReadOnlyAccess
    AWSAutoScalingPlansEC2AutoScalingPolicy ElasticLoadBalancingFullAccess ElasticLoadBalancingReadOnly
    CloudWatchFullAccess CloudWatchFullAccessV2 CloudWatchReadOnlyAccess CloudWatchAgentServerPolicy
    CloudWatchAgentAdminPolicy CloudWatchActionsEC2Access CloudWatchEventsFullAccess CloudWatchLogsFullAccess
    CloudWatchLogsReadOnlyAccess AWSLambda_FullAccess AWSLambda_ReadOnlyAccess AWSLambdaExecute
    AWSLambdaInvocation-DynamoDB AWSCloudFormationFullAccess AWSCloudFormationReadOnlyAccess
    AWSCertificateManagerFullAccess
    AWSCertificateManagerReadOnly AWSKeyManagementServicePowerUser AWSCodeDeployFullAccess AWSCodePipeline_FullAccess
    AWSXRayDaemonWriteAccess AWSXRayFullAccess AWSXrayWriteOnlyAccess AWSWAFFullAccess AWSWAFReadOnlyAccess
    AWSResourceGroupsReadOnlyAccess ResourceGroupsandTagEditorFullAccess SecretsManagerReadWrite AWSSupportAccess
    AWSElasticBeanstalkWebTier AWSElasticBeanstalkWorkerTier AWSElasticBeanstalkMulticontainerDocker
    EC2InstanceConnect EC2InstanceProfileForImageBuilder AWSGlobalAcceleratorFullAccess AmazonInspector2FullAccess
    AWSBackupFullAccess AWSDirectConnectFullAccess AmazonElasticMapReduceFullAccess AmazonRedshiftFullAccess
    AmazonAthenaFullAccess AWSStepFunctionsFullAccess AmazonEventBridgeFullAccess AmazonMQFullAccess
    """,
    """
    service-role/AWSLambdaBasicExecutionRole service-role/AWSLambdaVPCAccessExecutionRole
    service-role/AWSLambdaRole service-role/AWSLambdaENIManagementAccess service-role/AWSLambdaSQSQueueExecutionRole
    service-role/AWSLambdaDynamoDBExecutionRole service-role/AWSLambdaKinesisExecutionRole
    service-role/AutoScalingNotificationAccessRole service-role/AmazonEC2RoleforSSM
    service-role/AmazonEC2ContainerServiceforEC2Role service-role/AmazonEC2ContainerServiceRole
    service-role/AmazonECSTaskExecutionRolePolicy service-role/AmazonEC2ContainerServiceAutoscaleRole
    service-role/AmazonEC2SpotFleetTaggingRole service-role/AmazonEC2RoleforAWSCodeDeploy
    service-role/AmazonRDSEnhancedMonitoringRole service-role/AmazonEBSCSIDriverPolicy
    service-role/AmazonEFSCSIDriverPolicy service-role/AmazonAPIGatewayPushToCloudWatchLogs
    service-role/AWSCodeDeployRole service-role/AWSConfigRole service-role/AWS_ConfigRole
    service-role/AWSBackupServiceRolePolicyForBackup service-role/AmazonSSMAutomationRole
    service-role/AmazonSSMMaintenanceWindowRole service-role/AWSElasticBeanstalkService
    service-role/AmazonElasticMapReduceRole service-role/AmazonElasticMapReduceforEC2Role
    """,
    """
    aws-service-role/AutoScalingServiceRolePolicy aws-service-role/AWSElasticLoadBalancingServiceRolePolicy
    aws-service-role/AWSEC2SpotServiceRolePolicy aws-service-role/CloudWatchEventsServiceRolePolicy
    aws-service-role/AmazonECSServiceRolePolicy aws-service-role/AmazonRDSServiceRolePolicy
    """,
    """
    job-function/Billing job-function/DatabaseAdministrator job-function/DataScientist
    job-function/NetworkAdministrator job-function/SupportUser job-function/SystemAdministrator
    job-function/ViewOnlyAccess
    """,
)

KNOWN = frozenset(_PREFIX + name for names in _NAMES for name in names.split())
"""Their ARNs."""
